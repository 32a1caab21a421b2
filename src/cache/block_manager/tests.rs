//! Cases worked by hand, and random ones against a model without lists.

use proptest::prelude::*;

use super::*;

fn manager(blocks: u32, contents: u32) -> BlockManager {
    BlockManager::cached(blocks, contents, 4, FreeOrder::Current)
}

/// Looks a path up, admits it with `needed` blocks and makes all of it findable; returns the number of blocks found.
fn admit(
    manager: &mut BlockManager,
    held: &mut HeldBlocks,
    path: &[BlockId],
    needed: u32,
    evicted: &mut Vec<BlockId>,
) -> Option<u32> {
    let unheld = manager.lookup(path, held);
    let hits = held.len();
    if !manager.allocate(held, unheld, needed, 0, evicted) {
        return None;
    }
    manager.fill(held, path, path.len() as u32);
    Some(hits)
}

#[test]
fn shared_blocks_are_held_once_and_found_after_release() {
    let mut manager = manager(5, 10);
    let (mut first, mut second) = (HeldBlocks::default(), HeldBlocks::default());
    let mut evicted = Vec::new();
    assert_eq!(
        admit(&mut manager, &mut first, &[0, 1, 2], 3, &mut evicted),
        Some(0)
    );
    assert_eq!(manager.free_blocks(), 2);
    // Blocks 0 and 1 are found and held twice; one is new: 5 - 3 - 1 = 1 free.
    assert_eq!(
        admit(&mut manager, &mut second, &[0, 1, 3], 3, &mut evicted),
        Some(2)
    );
    assert_eq!((manager.free_blocks(), manager.cached_contents()), (1, 4));
    manager.free(&mut first);
    // Only content 2 was held by the first request alone.
    assert_eq!(manager.free_blocks(), 2);
    manager.free(&mut second);
    assert_eq!(
        (manager.free_blocks(), manager.resident(&[0, 1, 2])),
        (5, 3)
    );
    assert!(evicted.is_empty());
}

#[test]
fn the_tail_of_the_oldest_request_is_evicted_first() {
    let mut manager = manager(4, 10);
    let mut held = HeldBlocks::default();
    let mut evicted = Vec::new();
    admit(&mut manager, &mut held, &[0, 1, 2], 3, &mut evicted);
    manager.free(&mut held);
    // The free queue is the unused block, then 2, 1, 0, because a request frees its last block first. Three new blocks
    // take the unused one and evict 2 and 1.
    admit(&mut manager, &mut held, &[5, 6, 7], 3, &mut evicted);
    assert_eq!(evicted, [2, 1]);
    assert_eq!(manager.resident(&[0, 1, 2]), 1);
}

#[test]
fn a_refused_request_holds_nothing() {
    let mut manager = manager(4, 10);
    let (mut first, mut second) = (HeldBlocks::default(), HeldBlocks::default());
    let mut evicted = Vec::new();
    admit(&mut manager, &mut first, &[0, 1], 2, &mut evicted);
    manager.free(&mut first);
    // The two hits are free blocks themselves: 2 hits + 3 new = 5 of 4.
    assert_eq!(
        admit(&mut manager, &mut second, &[0, 1, 2, 3, 4], 5, &mut evicted),
        None
    );
    assert!(second.is_empty());
    assert_eq!((manager.free_blocks(), evicted.len()), (4, 0));
    // Four fit, but not if one has to stay free.
    let unheld = manager.lookup(&[0, 1, 2, 3], &mut second);
    assert_eq!(unheld, 2);
    assert!(!manager.allocate(&mut second, unheld, 4, 1, &mut evicted));
    let unheld = manager.lookup(&[0, 1, 2, 3], &mut second);
    assert!(manager.allocate(&mut second, unheld, 4, 0, &mut evicted));
}

#[test]
fn decoding_takes_a_block_with_its_first_token() {
    let mut manager = manager(3, 10);
    let mut held = HeldBlocks::default();
    // A prompt of 6 tokens: block 0 is full, the second holds 2 tokens.
    let unheld = manager.lookup(&[0], &mut held);
    assert!(manager.allocate(&mut held, unheld, 2, 0, &mut ()));
    manager.fill(&mut held, &[0], 1);
    let path = [0, 1, 2];
    // Token 8 fills the second block; token 9 needs the third.
    assert!(manager.decode_to(&mut held, 8, &path, &mut ()));
    assert_eq!((held.len(), manager.resident(&path)), (2, 2));
    assert!(manager.decode_to(&mut held, 9, &path, &mut ()));
    assert_eq!((held.len(), manager.resident(&path)), (3, 2));
    // Token 13 would need a fourth; until then the third fills.
    assert!(!manager.decode_to(&mut held, 13, &path, &mut ()));
    assert_eq!((held.len(), manager.resident(&path)), (3, 3));
}

#[test]
fn inserted_content_has_no_holder() {
    let mut manager = manager(4, 10);
    let mut held = HeldBlocks::default();
    admit(&mut manager, &mut held, &[0, 1], 2, &mut Vec::new());
    // 0 and 1 are cached already; of 2, 3 and 4, two fit.
    assert_eq!(manager.insert(&[0, 1, 2, 3, 4]), 2);
    assert_eq!(
        (manager.free_blocks(), manager.resident(&[0, 1, 2, 3, 4])),
        (2, 4)
    );
    // When all blocks are held, nothing is added.
    assert!(manager.extend(&mut held, 4, &mut ()));
    assert_eq!(manager.insert(&[5]), 0);
    assert_eq!(BlockManager::counted(4, 4).insert(&[0]), 0);
}

#[test]
fn counted_blocks_are_never_found() {
    let mut manager = BlockManager::counted(3, 4);
    let mut held = HeldBlocks::default();
    assert_eq!(manager.lookup(&[0, 1], &mut held), 0);
    assert!(manager.allocate(&mut held, 0, 2, 1, &mut ()));
    manager.fill(&mut held, &[0, 1], 2);
    assert_eq!((manager.resident(&[0, 1]), manager.free_blocks()), (0, 1));
    assert!(!manager.extend(&mut held, 4, &mut ()));
    assert!(manager.extend(&mut held, 3, &mut ()));
    manager.free(&mut held);
    assert_eq!((manager.free_blocks(), manager.cached_contents()), (3, 0));
}

#[test]
#[should_panic(expected = "free + held = all")]
fn a_block_that_leaks_is_noticed() {
    let mut manager = BlockManager::counted(3, 4);
    let mut held = HeldBlocks::default();
    assert!(manager.allocate(&mut held, 0, 2, 0, &mut ()));
    // One block is neither held by a request nor free.
    manager.store = Store::Counted { free: 0 };
    manager.debug_assert_invariants();
}

/// An operation of a request in a random case.
#[derive(Debug, Clone, Copy)]
enum Step {
    Admit,
    Extend(u32),
    Decode(u32),
    Insert,
    Free,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Admit),
        (0u32..10).prop_map(Step::Extend),
        (0u32..40).prop_map(Step::Decode),
        Just(Step::Insert),
        Just(Step::Free),
    ]
}

proptest! {
    /// Under any sequence of operations, blocks neither leak nor are allocated twice. The manager itself checks every
    /// change; this test compares the sum of what requests hold with the manager's counts.
    #[test]
    fn blocks_neither_leak_nor_are_given_out_twice(
        cached in any::<bool>(),
        order in prop_oneof![Just(FreeOrder::Current), Just(FreeOrder::Legacy)],
        steps in prop::collection::vec((0usize..5, 0usize..3, step()), 0..80),
    ) {
        let mut manager = match cached {
            true => BlockManager::cached(12, 24, 4, order),
            false => BlockManager::counted(12, 4),
        };
        let paths: [[BlockId; 8]; 3] = [
            [0, 1, 2, 3, 4, 5, 6, 7],
            [0, 1, 2, 8, 9, 10, 11, 12],
            [13, 14, 15, 16, 17, 18, 19, 20],
        ];
        let mut requests = vec![HeldBlocks::default(); 5];
        for (request, path, step) in steps {
            let (held, path) = (&mut requests[request], &paths[path]);
            match step {
                Step::Admit if held.is_empty() => {
                    admit(&mut manager, held, path, 9, &mut Vec::new());
                }
                Step::Extend(blocks) => {
                    let (before, free) = (held.len(), manager.free_blocks());
                    let grown = manager.extend(held, blocks, &mut ());
                    prop_assert_eq!(grown, blocks.saturating_sub(before) <= free);
                    prop_assert_eq!(held.len(), if grown { before.max(blocks) } else { before });
                }
                Step::Decode(tokens) => {
                    manager.decode_to(held, tokens, &[], &mut ());
                }
                Step::Insert => {
                    let free = manager.free_blocks();
                    manager.insert(path);
                    prop_assert_eq!(manager.free_blocks(), free, "inserted blocks are free");
                }
                Step::Free | Step::Admit => manager.free(held),
            }
            let mut held: Vec<u32> = requests.iter().flat_map(|held| held.slots().to_vec()).collect();
            held.sort_unstable();
            held.dedup();
            let distinct = match cached {
                true => held.len() as u32,
                false => requests.iter().map(HeldBlocks::len).sum(),
            };
            prop_assert_eq!(distinct + manager.free_blocks(), manager.blocks());
        }
        for held in &mut requests {
            manager.free(held);
        }
        prop_assert_eq!(manager.free_blocks(), manager.blocks());
    }
}
