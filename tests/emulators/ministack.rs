//! The adapters over MiniStack, as DynamoDB too.

use futures::future::LocalBoxFuture;
use spillway_conformance::{Subject, cases};

use crate::adapters::{Clients, beside_the_ports, block_on, put_through};
use crate::{MINISTACK_URL, given};

fn clients() -> Clients {
    Clients::new(&given(MINISTACK_URL), &given(MINISTACK_URL))
}

fn play(case: impl for<'a> Fn(&'a dyn Subject) -> LocalBoxFuture<'a, ()>) {
    block_on(put_through(clients(), case));
}

cases!(crate::ministack::play);

#[tokio::test]
async fn accounts_are_connected_and_letters_are_buried() {
    beside_the_ports(clients()).await;
}
