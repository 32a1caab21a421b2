//! The tests that need what a checkout does not contain: reference data of other systems, or a program such as a browser.
//!
//! Where that is missing, a test is reported as ignored, with the reason. `docs/testing.md` says how to obtain the data.

#[path = "../common/mod.rs"]
mod common;

mod browser;
mod chat_templates;
mod course_project;
mod curve;
mod formats_real;
mod harness;
mod hostile;
mod incremental;
mod latency_tables;
mod libcachesim_cases;
mod plan_prometheus;
mod planner_reference;
mod policy_page;
mod sglang_cases;
mod splitwise_cases;
mod threshold_cases;
mod vidur_cases;
mod vllm_cases;
mod vllm_truth;

fn main() -> std::process::ExitCode {
    harness::run(&[
        browser::TESTS,
        chat_templates::TESTS,
        course_project::TESTS,
        curve::TESTS,
        formats_real::TESTS,
        hostile::TESTS,
        incremental::TESTS,
        latency_tables::TESTS,
        libcachesim_cases::TESTS,
        plan_prometheus::TESTS,
        planner_reference::TESTS,
        policy_page::TESTS,
        sglang_cases::TESTS,
        splitwise_cases::TESTS,
        threshold_cases::TESTS,
        vidur_cases::TESTS,
        vllm_cases::TESTS,
        vllm_truth::TESTS,
    ])
}
