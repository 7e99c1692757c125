//! How often a post makes the service ask the database.

use crate::world::World;

/// A post of nine segments, from the message to the link. By a clock that is turned by hand, nothing polls meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_costs_few_transactions() {
    let world = World::linked().await;
    world.settle().await;
    let counted = || {
        ["transactions_total{kind=\"read\"}", "transactions_total{kind=\"write\"}", "statements_total"]
            .map(|name| world.counted(&format!("toall_database_{name}")))
    };
    let before = counted();
    world.post("alice", "Counted", &world.film(33 * 1024 * 1024)).await;
    world.settle().await;
    let [reads, writes, statements] = std::array::from_fn(|of| counted()[of] - before[of]);
    let said = format!("one post: {reads} reads, {writes} writes, {statements} statements");
    println!("{said}");
    assert!(writes <= 45, "{said}");
    // Before each write said what it concerns: about 220.
    assert!(reads <= 140, "{said}");
}
