//! Timestamps in the formats of data sets.

use crate::base::Nanos;

/// Parses RFC 3339 and its common variants (a space instead of `T`, no time zone, more or fewer decimals) as time since the
/// epoch.
pub fn parse_rfc3339(text: &str) -> Option<Nanos> {
    let text = text.trim();
    let (date, rest) = text.split_once(['T', ' '])?;
    let mut date = date.splitn(3, '-');
    let year: i64 = date.next()?.parse().ok()?;
    let month: i64 = date.next()?.parse().ok()?;
    let day: i64 = date.next()?.parse().ok()?;
    let zone = rest
        .find(['Z', 'z', '+'])
        .or_else(|| rest.rfind('-'))
        .unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone);
    let mut clock = clock.trim().splitn(3, ':');
    let hour: i64 = clock.next()?.parse().ok()?;
    let minute: i64 = clock.next()?.parse().ok()?;
    let second = Nanos::parse_secs(clock.next().unwrap_or("0"))?;
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 24
        || minute > 59
        || second.0 > 60_999_999_999
    {
        return None;
    }
    let offset = match zone.trim() {
        "" | "Z" | "z" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let digits = zone[1..].replace(':', "");
            let value: i64 = digits.parse().ok()?;
            let (hours, minutes) = if digits.len() <= 2 {
                (value, 0)
            } else {
                (value / 100, value % 100)
            };
            sign * (hours * 3600 + minutes * 60)
        }
    };
    // Days since the epoch by Howard Hinnant's civil calendar: the year begins in March, so that leap days end it.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100
        + day_of_year
        - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 - offset;
    Some(Nanos(u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?) + second)
}

#[cfg(test)]
mod tests {
    use crate::dataset::time::*;

    #[test]
    fn known_times() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:30:00+01:00", 951_823_800_000_000_000),
            ("2023-11-16 18:15:46.6805900", 1_700_158_546_680_590_000),
            ("2024-03-01T00:00:00.5-0230", 1_709_260_200_500_000_000),
        ] {
            assert_eq!(parse_rfc3339(text), Some(Nanos(nanos)), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2023-13-01T00:00:00Z",
            "2023-01-01",
            "1960-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
