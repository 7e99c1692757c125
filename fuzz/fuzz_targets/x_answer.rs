#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use toall::{account::AccountId, post::Options};
use toall_fuzz::{
    NOW,
    x::{Answer, X},
};

thread_local! {
    static X_AND_CLIENT: RefCell<X> = RefCell::new(X::start());
}

// The call, the status, a line for the headers, then the body.
fuzz_target!(|bytes: &[u8]| {
    let [call, high, low, rest @ ..] = bytes else { return };
    // What is below is not an answer yet.
    let status = 200 + u16::from_be_bytes([*high, *low]) % 400;
    let (line, body) = match rest.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (&[][..], rest),
    };
    let headers = [
        "x-rate-limit-remaining",
        "x-rate-limit-reset",
        "x-user-limit-24hour-remaining",
        "x-user-limit-24hour-reset",
    ];
    let headers = headers.into_iter().zip(line.split(|&byte| byte == b',').map(<[u8]>::to_vec)).collect();
    X_AND_CLIENT.with_borrow(|x| {
        x.answers(Answer { status, headers, body: body.to_vec() });
        let access = "access".to_owned().into();
        let told = x.runtime.block_on(async {
            let client = &x.client;
            let told = match call % 8 {
                0 => client.me(&access).await.err().map(|error| error.to_string()),
                1 => client.initialize(&access, "video/mp4", 1).await.err().map(|error| error.to_string()),
                2 => client.finalize(&access, "1").await.err().map(|error| error.to_string()),
                3 => client.status(&access, "1").await.err().map(|error| error.to_string()),
                4 => client
                    .create_post(&access, "text", "1", &Options::default())
                    .await
                    .err()
                    .map(|error| error.to_string()),
                5 => {
                    let user = AccountId("1".to_owned());
                    client.find_post(&access, &user, NOW, &["1"]).await.err().map(|error| error.to_string())
                }
                6 => {
                    let code = "code".to_owned().into();
                    client.exchange(code, access.clone(), NOW).await.err().map(|error| error.to_string())
                }
                _ => client.refresh(&access, NOW).await.err().map(|error| error.to_string()),
            };
            told
        });
        assert!(told.is_none_or(|told| !told.is_empty() && told.chars().count() < 500));
    });
});
