//! Charts as the JSON from which the script of a page draws them.

use serde_json::{Value, json};

use crate::report::render::chart::{Axis, Chart, Marks, Scale, Series, Sign};

/// A chart, the same chart without values that cannot be drawn, and the choices under which it is shown.
pub(super) type Plot<'a> = (&'a Chart, Chart, &'a [(&'static str, String)]);

/// All charts at one position, in the form that the page's script reads.
pub(super) fn plot_json(plot: &[Plot<'_>]) -> Value {
    let one = |(_, chart, choices): &Plot<'_>| {
        let mut value = chart_json(chart);
        let choices = choices
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)));
        value["choices"] = Value::Object(choices.collect());
        value
    };
    json!({"name": plot[0].0.name, "variants": plot.iter().map(one).collect::<Vec<_>>()})
}

fn chart_json(chart: &Chart) -> Value {
    let axis = |axis: &Axis| json!({"label": axis.label, "scale": scale_name(axis.scale)});
    let points = |points: &[(f64, f64)]| {
        json!(
            points
                .iter()
                .map(|p| [short(p.0), short(p.1)])
                .collect::<Vec<_>>()
        )
    };
    let values =
        |values: &[Option<f64>]| json!(values.iter().map(|v| v.map(short)).collect::<Vec<_>>());
    let drawn = |series: &&Series| !matches!(series.marks, Marks::Room(_));
    let series = chart.series.iter().filter(drawn).map(|series| {
        let mut one = json!({"name": series.name, "color": series.color, "dashed": series.dashed});
        let (kind, data) = match &series.marks {
            Marks::Line(all) => ("line", points(all)),
            Marks::Step(all) => ("step", points(all)),
            Marks::Bars(all) => ("bars", values(all)),
            Marks::Rules(of, all) => {
                one["of"] = json!(of);
                ("rules", values(all))
            }
            Marks::Styled(all, look) => {
                one["look"] = json!({"sign": look.sign.map(Sign::name), "dash": look.dash});
                (if look.step { "step" } else { "line" }, points(all))
            }
            Marks::Tagged(all) => {
                one["colors"] = json!(all.iter().map(|(_, color)| color).collect::<Vec<_>>());
                let all: Vec<Option<f64>> = all.iter().map(|(value, _)| *value).collect();
                ("bars", values(&all))
            }
            Marks::Limit(at) => ("limit", json!([short(*at)])),
            Marks::Room(all) => ("room", points(all)),
        };
        one["kind"] = json!(kind);
        one["data"] = data;
        one
    });
    json!({"name": chart.name, "title": chart.title, "x": axis(&chart.x), "y": axis(&chart.y),
        "categories": chart.categories, "series": series.collect::<Vec<_>>()})
}

fn scale_name(scale: Scale) -> &'static str {
    match scale {
        Scale::Linear => "linear",
        Scale::Log => "log",
        Scale::Percent | Scale::PercentUsed => "percent",
    }
}

/// Rounds to seven digits, more than a screen can show; the full number would double the size of the page.
fn short(value: f64) -> f64 {
    format!("{value:.6e}").parse().unwrap_or(value)
}
