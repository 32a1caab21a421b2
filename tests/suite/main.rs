//! The integration tests, one module a concern, in one binary that is linked once.
//!
//! Tests that need reference data or another program are in `tests/reference`.

#[path = "../common/mod.rs"]
mod common;

mod autoscaling;
mod bad_input;
mod capacity;
mod chat_templates;
mod commands;
mod compare;
mod determinism;
mod documented;
mod everywhere;
mod foreign_code;
mod fuzz_targets;
mod generate;
mod hand_worked;
mod html_page;
mod incremental;
mod layers;
mod load_test;
mod matrix;
mod nothing_lost;
mod numbers;
mod overlap;
mod plan;
mod plan_live;
mod policy_page;
mod report_folder;
mod resume;
mod scenarios;
mod simulate;
mod simulation;
mod sla_profile;
mod study;
mod threshold_cases;
mod timestamps;
mod tokenizers;
