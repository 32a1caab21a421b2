//! How links are shared, and transfers layer by layer. Times are in milliseconds; a token's KV is 1 MB, and the first byte takes 2.

use super::{Run, tokens};

/// Two prefill instances with one prompt each, 8 tokens until 18 and 12 tokens until 22, and `decodes` decode instances.
fn transfers(transfer: &str, decodes: u32, more: &str) -> Vec<String> {
    let pools = format!(
        "[transfer]\nlatency_ms = 2.0\n{transfer}\n{more}\n\
         [[pool]]\nname = \"p\"\nrole = \"prefill\"\ninstances = 2\nblocks = 20\n\
         [[pool]]\nname = \"d\"\nrole = \"decode\"\ninstances = {decodes}\nblocks = 20\n"
    );
    let requests = [
        ("a", "a", 0, 0.0, tokens(0, 8), tokens(50, 2)),
        ("b", "b", 0, 0.0, tokens(100, 12), tokens(150, 2)),
    ];
    Run::new("", &pools, &requests).column("request.csv", "transfer_time")
}

#[test]
fn who_shares_a_link() {
    // The first moves from 20 on, the second from 24 on. Alone they are there at 28 and 36. Sharing a link of 1 GB/s, the first has 4 MB
    // left at 24 and takes 8 for them; then the second has 8 MB left: 32 and 40.
    let of = |contention: &str, decodes| {
        let transfer = format!("gb_per_second = 1.0\ncontention = \"{contention}\"");
        transfers(&transfer, decodes, "")
    };
    assert_eq!(of("per-instance", 1), ["0.014", "0.018"], "one receiver");
    assert_eq!(of("per-instance", 2), ["0.01", "0.014"], "two receivers");
    assert_eq!(of("none", 1), ["0.01", "0.014"]);
    assert_eq!(of("fabric", 1), ["0.014", "0.018"]);
    assert_eq!(of("fabric", 2), ["0.014", "0.018"]);
}

#[test]
fn layer_by_layer_only_the_last_layer_is_left() {
    // 1 GB/s: while the prompts were computed, 18 and 22 MB could be sent, more than there are; the last of 4 layers is left, 2 and 3 MB.
    // The first is there at 20 + 2, before the second begins.
    let fast = "gb_per_second = 1.0\nlayerwise = true";
    assert_eq!(transfers(fast, 1, ""), ["0.004", "0.005"]);
    // 0.25 GB/s: in 18 and 22 4.5 and 5.5 MB are sent; 3.5 and 6.5 MB are left, more than the last layer. They take 14 and 26, apart.
    let slow = "gb_per_second = 0.25\nlayerwise = true\ncontention = \"none\"";
    assert_eq!(transfers(slow, 1, ""), ["0.016", "0.028"]);
    // 0.125 GB/s to one receiver: 8 - 2.25 = 5.75 and 12 - 2.75 = 9.25 MB are left. From 24 on both have 0.0625 GB/s, when 5.25 MB of the first
    // are left: 84, until 108, when 4 MB of the second are left: 32, until 140.
    let shared = "gb_per_second = 0.125\nlayerwise = true";
    assert_eq!(transfers(shared, 1, ""), ["0.09", "0.118"]);
}

#[test]
fn distance_takes_its_part_of_the_bandwidth() {
    // All prefill instances stand in one place and the decode instance in another, under another switch: a quarter of the bandwidth.
    let sites = r#"
[topology]
group = "anywhere"
apart = 0.25
[[topology.site]]
name = "here"
minipod = "m1"
bigpod = "b1"
gpus = [{ sku = "h100-80gb", count = 2 }]
[[topology.site]]
name = "there"
minipod = "m2"
bigpod = "b2"
gpus = [{ sku = "a100-80gb", count = 1 }]
"#;
    let far = transfers_between(sites, "a100-80gb");
    // 8 MB at 0.25 GB/s take 32 and 12 MB take 48, apart.
    assert_eq!(far, ["0.034", "0.05"]);
}

fn transfers_between(sites: &str, decode_sku: &str) -> Vec<String> {
    let pools = format!(
        "[transfer]\nlatency_ms = 2.0\ngb_per_second = 1.0\ncontention = \"none\"\n{sites}\n\
         [[pool]]\nname = \"p\"\nrole = \"prefill\"\ninstances = 2\nblocks = 20\n\
         [[pool]]\nname = \"d\"\nrole = \"decode\"\nblocks = 20\nsku = \"{decode_sku}\"\n"
    );
    let requests = [
        ("a", "a", 0, 0.0, tokens(0, 8), tokens(50, 2)),
        ("b", "b", 0, 0.0, tokens(100, 12), tokens(150, 2)),
    ];
    Run::new("", &pools, &requests).column("request.csv", "transfer_time")
}

#[test]
fn outputs_stay_in_the_deployment_group() {
    // Decode instance 0 stands under another switch than prefill instance 2, decode instance 1 under the same. Both are empty, so that the router
    // would take the first.
    let sites = |group: &str| {
        format!(
            "[topology]\ngroup = \"{group}\"\n\
             [[topology.site]]\nname = \"here\"\nminipod = \"m1\"\nbigpod = \"b1\"\ngpus = [{{ sku = \"h100-80gb\", count = 2 }}]\n\
             [[topology.site]]\nname = \"there\"\nminipod = \"m2\"\nbigpod = \"b2\"\ngpus = [{{ sku = \"a100-80gb\", count = 1 }}]\n\
             [[pool]]\nname = \"far\"\nrole = \"decode\"\nblocks = 20\nsku = \"a100-80gb\"\n\
             [[pool]]\nname = \"near\"\nrole = \"decode\"\nblocks = 20\n\
             [[pool]]\nname = \"p\"\nrole = \"prefill\"\nblocks = 20\n"
        )
    };
    for (group, decode) in [("minipod", "1"), ("anywhere", "0")] {
        let requests = [("a", "a", 0, 0.0, tokens(0, 8), tokens(50, 2))];
        let run = Run::new("", &sites(group), &requests);
        assert_eq!(
            run.column("request.csv", "decode_instance"),
            [decode],
            "{group}"
        );
    }
}

#[test]
fn what_the_decode_instance_has_is_not_sent() {
    // 8 + 6 tokens, twice the same. The first prompt is there at 18 and takes 2 + 8. The second finds its two blocks on the decode instance, and
    // nothing is sent. The third block there, of 4 output tokens, is no part of its prompt.
    let pools = "[transfer]\nlatency_ms = 2.0\ngb_per_second = 1.0\n\
         [[pool]]\nname = \"p\"\nrole = \"prefill\"\nblocks = 20\n\
         [[pool]]\nname = \"d\"\nrole = \"decode\"\nblocks = 20\n";
    let requests = [
        ("a", "a", 0, 0.0, tokens(0, 8), tokens(50, 6)),
        ("b", "b", 0, 0.5, tokens(0, 8), tokens(50, 6)),
    ];
    let run = Run::new("", pools, &requests);
    assert_eq!(run.column("request.csv", "transfer_time"), ["0.01", "0.0"]);
    assert_eq!(run.column("request.csv", "transferred_tokens"), ["8", "0"]);
}

#[test]
fn layers_are_sent_while_the_prompt_is_computed_not_before() {
    // The prompt of 8 tokens is computed from 100 until 118. At 0.25 GB/s 4.5 of its 8 MB are sent by then; 3.5 MB take 14, after the first byte's 2.
    let pools = "[transfer]\nlatency_ms = 2.0\ngb_per_second = 0.25\nlayerwise = true\n\
         [[pool]]\nname = \"p\"\nrole = \"prefill\"\nblocks = 20\n\
         [[pool]]\nname = \"d\"\nrole = \"decode\"\nblocks = 20\n";
    let requests = [
        ("a", "a", 0, 0.0, tokens(100, 4), tokens(150, 1)),
        ("b", "b", 0, 0.1, tokens(0, 8), tokens(50, 2)),
    ];
    let run = Run::new("", pools, &requests);
    assert_eq!(run.column("request.csv", "transfer_time")[1], "0.016");
}
