use std::path::Path;

use sha2::{Digest, Sha256};

use super::*;

fn sample(conversations: usize) -> Vec<Conversation> {
    generate(&SynthOptions {
        conversations,
        ..SynthOptions::default()
    })
    .collect()
}

fn characters(conversations: &[Conversation], role: Role) -> Vec<usize> {
    let mut lengths: Vec<usize> = conversations
        .iter()
        .flat_map(|conversation| &conversation.messages)
        .filter(|message| message.role == role)
        .map(|message| message.content.chars().count())
        .collect();
    lengths.sort_unstable();
    lengths
}

#[test]
fn a_conversation_does_not_depend_on_how_many_there_are() {
    let many = sample(30);
    assert_eq!(sample(30), many);
    assert_eq!(sample(7), many[..7]);
    let other = SynthOptions {
        conversations: 7,
        seed: 1,
        ..SynthOptions::default()
    };
    assert!(generate(&other).zip(&many).all(|(a, b)| a != *b));
}

#[test]
fn a_share_changes_only_the_conversations_that_it_concerns() {
    let without = generate(&SynthOptions {
        conversations: 30,
        system_prompt_share: 0.0,
        starts_per_second: Some(2.0),
        ..SynthOptions::default()
    });
    let mut last = None;
    for (mut with, without) in sample(30).into_iter().zip(without) {
        with.messages.retain(|message| message.role != Role::System);
        assert_eq!(with.messages, without.messages);
        assert!(with.timestamp.is_none());
        assert!(without.timestamp > last);
        last = without.timestamp;
    }
}

#[test]
fn roles_alternate_and_texts_are_not_blank() {
    for conversation in sample(400) {
        let mut messages = &conversation.messages[..];
        if messages[0].role == Role::System {
            messages = &messages[1..];
        }
        assert!(messages.len() >= 2 && messages.len().is_multiple_of(2));
        for pair in messages.chunks(2) {
            assert_eq!((pair[0].role, pair[1].role), (Role::User, Role::Assistant));
        }
        for message in messages {
            assert!(!message.content.trim().is_empty(), "{}", conversation.id);
        }
    }
}

/// Compares quantiles of the source with those of 4,000 generated conversations; the generator ends messages at sentences,
/// hence the wide bounds for short ones.
#[test]
fn statistics_are_near_those_of_the_source() {
    let conversations = sample(4_000);
    let mut turns: Vec<usize> = conversations
        .iter()
        .map(|conversation| conversation.messages.len() / 2)
        .collect();
    turns.sort_unstable();
    let single = turns.iter().filter(|turns| **turns == 1).count();
    // 0.3073 of 4,000 is 1,229, standard deviation 29
    assert!(single.abs_diff(1_229) < 120, "{single}");
    let users = characters(&conversations, Role::User);
    let assistants = characters(&conversations, Role::Assistant);
    for (name, sorted, percent, source, tolerance) in [
        ("turns", &turns, 50, 3.0, 0.01),
        ("turns", &turns, 75, 7.0, 0.15),
        ("turns", &turns, 90, 14.0, 0.15),
        ("user", &users, 25, 43.0, 0.25),
        ("user", &users, 50, 82.0, 0.25),
        ("user", &users, 75, 192.0, 0.25),
        ("user", &users, 90, 587.0, 0.25),
        ("user", &users, 99, 5_395.0, 0.3),
        ("assistant", &assistants, 10, 249.0, 0.3),
        ("assistant", &assistants, 50, 1_245.0, 0.12),
        ("assistant", &assistants, 90, 2_624.0, 0.12),
        ("assistant", &assistants, 99, 3_793.0, 0.12),
    ] {
        let measured = sorted[sorted.len() * percent / 100] as f64;
        assert!(
            (measured / source - 1.0).abs() <= tolerance,
            "{name} p{percent}: {measured} against {source}"
        );
    }
    let system = conversations
        .iter()
        .filter(|conversation| conversation.messages[0].role == Role::System)
        .count();
    // a quarter of 4,000, standard deviation 27
    assert!(system.abs_diff(1_000) < 110, "{system}");
}

#[test]
fn text_tokenizes_like_english() {
    let encoding = tiktoken::get_encoding("cl100k_base").expect("embedded");
    let (mut characters, mut tokens) = (0, 0);
    for message in sample(60)
        .iter()
        .flat_map(|conversation| &conversation.messages)
    {
        characters += message.content.chars().count();
        tokens += encoding.count(&message.content);
    }
    let ratio = characters as f64 / tokens as f64;
    assert!((4.0..5.2).contains(&ratio), "{ratio}");
}

fn written(conversations: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.jsonl");
    crate::dataset::write_sharegpt(&path, sample(conversations)).expect("writes");
    std::fs::read(&path).expect("reads")
}

/// If this value changes, all synthetic data changes: the file in `data/` must be regenerated, and the release notes must
/// mention it.
#[test]
fn golden_bytes() {
    let hash = Sha256::digest(written(50));
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "8692072b61902b6060574788f60fa3c98f5f98bae205a0f5e021c951b0a572a5"
    );
}

#[test]
fn the_shipped_file_is_what_its_seed_gives() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("data/sharegpt-synthetic.jsonl.zst");
    let shipped = crate::base::io::Input::open(&path)
        .and_then(crate::base::io::Input::read_to_end)
        .expect("reads");
    let expected = written(20);
    assert!(shipped.starts_with(&expected));
    assert_eq!(shipped.iter().filter(|byte| **byte == b'\n').count(), 1_000);
}
