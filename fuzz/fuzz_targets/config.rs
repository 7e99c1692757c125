#![no_main]

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use toall::config::Config;

// The file; what follows a NUL is the value of a variable.
fuzz_target!(|bytes: &[u8]| {
    let (file, value) = match bytes.iter().position(|&byte| byte == 0) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[][..]),
    };
    let path =
        PathBuf::from(format!("{}/toall-fuzz-{}.toml", std::env::temp_dir().display(), std::process::id()));
    std::fs::write(&path, file).expect("room for a small file");
    let value = String::from_utf8_lossy(value).into_owned();
    // A value of this form has another file read, which is not ours to choose.
    if value.starts_with("file:") || String::from_utf8_lossy(file).contains("file:") {
        return;
    }
    let variables = ["TOALL_PUBLIC_URL", "TOALL_DISCORD__MEDIA_HOSTS", "TOALL_WORKER__SETTLE_SECS"];
    for variable in variables {
        let env = [("TWITTER_CLIENT_ID".to_owned(), "id".to_owned()), (variable.to_owned(), value.clone())];
        if let Err(errors) = Config::load(&path, env.into_iter()) {
            let told = errors.to_string();
            assert_eq!(told.lines().count(), 1 + errors.problems.len(), "one line each: {told}");
        }
    }
});
