//! Which instances go when a fleet shrinks, and how. Times are in milliseconds, a tick every 100.

use super::{Run, tokens};

/// Instances that serve whole requests; the timetable has `hours` of 100, and begins at half past midnight.
fn pools(instances: u32, hours: &str, more: &str) -> String {
    format!(
        "[autoscaling]\npolicy = \"periodic\"\ninterval_seconds = 0.1\n{more}\n\
         [autoscaling.periodic]\nday_seconds = 2.4\nstart_hour = 0.5\nhours = [{hours}]\n\
         [[pool]]\nname = \"all\"\ninstances = {instances}\nblocks = 20\nstartup_seconds = 0.25\n"
    )
}

/// Id, session, turn, arrival in seconds, prompt and output of a request.
type Request = (&'static str, &'static str, u32, f64, Vec<u32>, Vec<u32>);

/// `a` and `c` go to instance 0 and 1, where they come; `b` goes to instance 1, which has nothing to compute then.
///
/// `a` (8 tokens, 23 of output) comes at 0, and `b` (4 + 23) at 1, when instance 0 has 8 tokens to compute: instance 1. `c` (4 + 23) comes at 2:
/// instance 0 has 8 tokens to compute and instance 1 has 4.
fn three() -> [Request; 3] {
    [
        ("a", "a", 0, 0.0, tokens(0, 8), tokens(50, 23)),
        ("b", "b", 0, 0.001, tokens(100, 4), tokens(150, 23)),
        ("c", "c", 0, 0.002, tokens(200, 4), tokens(250, 23)),
    ]
}

#[test]
fn the_least_busy_goes() {
    // Instance 0 has one request when it is told to go at 100, and finishes it: 18 + 22 x 15 = 348. Instance 1 computes `b` from 1 to 15, then `c` with a decode
    // of `b`, 15 to 34; both until they have 22 tokens (`c` has 1 at 34, `b` 2): `b` has 21 further ones at 34 + 21 x 20 = 454; `c` its last at 469.
    let hours = "{ from = 0, to = 24, aggregated = 1 }";
    let run = Run::new("", &pools(2, hours, ""), &three());
    assert_eq!(
        run.column("request.csv", "prefill_instance"),
        ["0", "1", "1"]
    );
    assert_eq!(
        run.column("request.csv", "e2e"),
        ["0.348", "0.453", "0.467"]
    );
    run.csv(
        "scaling/instances.csv",
        "time,instance,pool,state
        0.0,0,all,ready
        0.0,1,all,ready
        0.1,0,all,draining
        0.348,0,all,gone",
    );
    assert_eq!(run.printed["scaling"]["instances_drained"], 1);
    assert_eq!(run.printed["scaling"]["scale_in"], 1);
}

#[test]
fn a_parked_instance_drains_later_or_comes_back() {
    // At 100 instance 0 is put out of routing; nothing got worse until 250, so that it drains at 300.
    let hours = "{ from = 0, to = 24, aggregated = 1 }";
    let soft = "soft_scale_in = { seconds = 0.15 }";
    let run = Run::new("", &pools(2, hours, soft), &three());
    run.csv(
        "scaling/instances.csv",
        "time,instance,pool,state
        0.0,0,all,ready
        0.0,1,all,ready
        0.1,0,all,parked
        0.3,0,all,draining
        0.348,0,all,gone",
    );
    let scaling = &run.printed["scaling"];
    assert_eq!(
        (
            scaling["parked"].clone(),
            scaling["instances_drained"].clone()
        ),
        (1.into(), 1.into())
    );
    // At 200 two are wanted again, and it comes back: nothing starts.
    let hours = "{ from = 0, to = 2, aggregated = 1 }, { from = 2, to = 24, aggregated = 2 }";
    let run = Run::new("", &pools(2, hours, soft), &three());
    run.csv(
        "scaling/instances.csv",
        "time,instance,pool,state
        0.0,0,all,ready
        0.0,1,all,ready
        0.1,0,all,parked
        0.2,0,all,ready",
    );
    let scaling = &run.printed["scaling"];
    assert_eq!(
        (
            scaling["reinstated"].clone(),
            scaling["instances_started"].clone()
        ),
        (1.into(), 0.into())
    );
    assert_eq!(scaling["flaps"], 1);
}

#[test]
fn one_that_starts_goes_first() {
    // Asked for at 100 and not wanted at 200: it never serves, and costs 100.
    let hours = "{ from = 0, to = 2, aggregated = 3 }, { from = 2, to = 24, aggregated = 2 }";
    let run = Run::new("", &pools(2, hours, ""), &three());
    run.csv(
        "scaling/instances.csv",
        "time,instance,pool,state
        0.0,0,all,ready
        0.0,1,all,ready
        0.1,2,all,starting
        0.2,2,all,gone",
    );
    // The others are there until the last token, at 469.
    let hours = run.printed["cost"]["instance_hours"]
        .as_f64()
        .expect("hours");
    assert!(
        (hours - (2.0 * 0.469 + 0.1) / 3600.0).abs() < 1e-15,
        "{hours}"
    );
    // It never was ready, so there is no time that it could have used.
    assert_eq!(run.rows("instances.csv")[2]["utilisation"], "");
}
