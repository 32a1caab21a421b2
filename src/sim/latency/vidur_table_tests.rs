//! Tests of Vidur's tables.

use crate::sim::latency::Chunk;
use crate::sim::latency::vidur_table::*;

fn tables(folder: &Path) {
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(format!("x_exact_{name}.csv")), text).expect("written");
    };
    write("linear_ms", "tokens,ms\n8,1\n16,2\n");
    let saves: String = (1..=16).map(|n| format!("{n},0.{n:02}\n")).collect();
    write("kvsave_ms", &format!("tokens,ms\n{saves}"));
    write("decode_ms", "batch,kv0,kv64\n1,10,20\n2,30,40\n");
    // With 64 tokens of context: 300 for up to 4 tokens, 400 from 5 on.
    write(
        "prefill_ms_rle",
        "kv,from,ms\n0,1,100\n0,9,200\n64,1,300\n64,5,400\n",
    );
}

#[test]
fn a_step_by_hand() {
    let folder = tempfile::tempdir().expect("folder");
    tables(folder.path());
    let mut table =
        VidurTable::read(folder.path(), "x", BatchingOverhead::GROUPED).expect("tables");
    let chunk = |tokens, past| Chunk { tokens, past };
    let mut step = Step {
        // The root of 9 + 16 is 5, and 1 token of context is rounded to 64.
        prefills: vec![chunk(3, 0), chunk(4, 1)],
        decodes: 1,
        // With the token being decoded 64.
        decode_context: 63,
        sampled: 1,
    };
    // 8 tokens: 1 + 0.08; prompts 400 x 1.1, as there are two; one decode 20.
    let ms = 1.08 + 440.0 + 20.0;
    assert!((table.seconds(&step) * 1e3 - ms).abs() < 1e-9);
    // Two decodes with 65 and 64 tokens, on the average 64.
    step.prefills.clear();
    step.decodes = 2;
    step.decode_context = 127;
    assert!((table.seconds(&step) * 1e3 - (1.02 + 44.0)).abs() < 1e-9);
    assert_eq!(table.clamped(), Clamped { steps: 0, of: 2 });
    // 65 tokens of context are beyond the table.
    step.decode_context = 128 + 128;
    assert!((table.seconds(&step) * 1e3 - (1.02 + 44.0)).abs() < 1e-9);
    assert_eq!(table.clamped(), Clamped { steps: 1, of: 3 });
}

#[test]
fn tables_that_are_not_whole_are_refused() {
    let folder = tempfile::tempdir().expect("folder");
    tables(folder.path());
    let path = folder.path().join("x_exact_decode_ms.csv");
    std::fs::write(&path, "batch,kv0,kv64\n1,10,20\n3,30,40\n").expect("written");
    let read = VidurTable::read(folder.path(), "x", BatchingOverhead::NONE);
    let message = read.expect_err("batch 2 is missing").to_string();
    assert!(message.contains("x_exact_decode_ms.csv:3: first column is 3, expected 2"));
    std::fs::remove_file(&path).expect("removed");
    assert!(VidurTable::read(folder.path(), "x", BatchingOverhead::NONE).is_err());
}

#[test]
fn presets_interpolate_between_their_points() {
    let names: Vec<&str> = VidurTable::presets().collect();
    assert_eq!(names.len(), 3);
    for name in names {
        let mut table = VidurTable::preset(name).expect("it ships");
        let mut at = |tokens: u32| {
            let prefills = vec![Chunk { tokens, past: 0 }];
            table.seconds(&Step {
                prefills,
                sampled: 1,
                ..Step::default()
            })
        };
        // Neighbouring points are 512 and 544 for linear layers, and 512 and 768 for attention.
        let (low, middle, high) = (at(512), at(516), at(520));
        assert!(
            low <= middle && middle <= high,
            "{name}: {low} {middle} {high}"
        );
        assert!(table.clamped().steps == 0);
    }
    assert!(VidurTable::preset("b200").is_err());
}
