//! Files of messages: from Telegram over HTTP, or from a local Bot API server's disk.

use std::{io, os::fd::AsRawFd, path::Path, time::Duration};

use futures::{StreamExt, TryStreamExt};
use reqwest::{StatusCode, Url, header::RETRY_AFTER};
use rustix::fs::OFlags;
use teloxide::{Bot, payloads::GetFile, types::FileId};
use tokio_util::io::ReaderStream;

use super::{
    call::call,
    error::{network, sort_file},
};
use crate::chat::{ChatError, Download};

/// Bytes read from disk at a time.
const DISK_CHUNK: usize = 256 * 1024;

/// Fetches by file id. File paths live an hour and hold the token's folder, so they go nowhere else.
pub(super) async fn fetch(bot: &Bot, cloud: bool, file_id: &str) -> Result<Download, ChatError> {
    let file = call(bot, &GetFile::new(FileId(file_id.to_owned()))).await.map_err(sort_file)?;
    // Only a local server answers with a path on disk (Bot API, "Using a Local Bot API Server").
    if !cloud && Path::new(&file.path).is_absolute() {
        return from_disk(Path::new(&file.path), bot.token()).await;
    }
    let mut url = bot.api_url();
    append(&mut url, bot.token(), &file.path)?;
    download(bot.client(), url).await
}

// teloxide would send the slashes of the path as %2F.
fn append(url: &mut Url, token: &str, path: &str) -> Result<(), ChatError> {
    url.path_segments_mut()
        .map_err(|()| ChatError::Refused("telegram.api_url is not an http address".into()))?
        .push("file")
        .push(&format!("bot{token}"))
        .extend(path.split('/'));
    Ok(())
}

async fn download(client: &reqwest::Client, url: Url) -> Result<Download, ChatError> {
    let trouble = |error: reqwest::Error| ChatError::Trouble(network(&error));
    let answer = client.get(url).send().await.map_err(trouble)?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            // getFile has just named this place.
            return Err(ChatError::NotFound("Telegram does not have the file where it says it is".into()));
        }
        StatusCode::TOO_MANY_REQUESTS => {
            let seconds = answer.headers().get(RETRY_AFTER);
            let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(ChatError::SlowDown(Duration::from_secs(seconds.unwrap_or(5))));
        }
        status if status.is_server_error() => {
            return Err(ChatError::Trouble(format!("Telegram answered {status}")));
        }
        status if status.is_redirection() => {
            return Err(ChatError::Refused(format!("Telegram answered {status} to the download")));
        }
        status => {
            // Said by something in between as well, and not about the file.
            return Err(ChatError::Trouble(format!("Telegram answered {status} to the download")));
        }
    }
    Ok(Download { bytes: answer.content_length(), body: answer.bytes_stream().map_err(trouble).boxed() })
}

/// Reads a file that the server keeps for this bot, and no other file of the machine, whatever the server says.
async fn from_disk(path: &Path, token: &str) -> Result<Download, ChatError> {
    let open = async {
        // Without NONBLOCK, opening a pipe would wait for its other end.
        let mut options = tokio::fs::OpenOptions::new();
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        let file = options.read(true).custom_flags(nonblocking).open(path).await?;
        // The opened file is judged, not the path: whoever may write in that folder could swap it for a link in between.
        let opened = match cfg!(target_os = "linux") {
            true => tokio::fs::canonicalize(format!("/proc/self/fd/{}", file.as_raw_fd())).await?,
            false => tokio::fs::canonicalize(path).await?,
        };
        let about = file.metadata().await?;
        if !is_of_bot(&opened, token) || !about.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok((file, about.len()))
    };
    let (file, bytes) = open.await.map_err(unreadable)?;
    Ok(Download {
        bytes: Some(bytes),
        body: ReaderStream::with_capacity(file, DISK_CHUNK).map_err(unreadable).boxed(),
    })
}

/// Whether a path leads into a folder of files of this bot's: `{anything}/{token}/{kind}/{file}`, the token followed by
/// `:T` in Telegram's test environment (`Client.cpp` of tdlib/telegram-bot-api). Directly in the bot's folder lie the
/// server's own databases.
fn is_of_bot(path: &Path, token: &str) -> bool {
    let mut names = path.components().skip_while(|part| {
        let name = part.as_os_str().to_str();
        name.and_then(|name| name.strip_prefix(token)).is_none_or(|rest| !rest.is_empty() && rest != ":T")
    });
    names.next().is_some() && names.count() >= 2
}

fn unreadable(error: io::Error) -> ChatError {
    match error.kind() {
        io::ErrorKind::NotFound => ChatError::Gone(
            "the local Bot API server's file is not there; toall must see the server's folder under the same path".into(),
        ),
        io::ErrorKind::PermissionDenied => ChatError::Refused(
            "toall may not read the local Bot API server's files; let its user read that folder".into(),
        ),
        io::ErrorKind::InvalidInput => {
            ChatError::Refused("the local Bot API server named something that is no file of this bot's".into())
        }
        kind => ChatError::Trouble(format!("the local Bot API server's file: {kind}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_its_slashes_and_cannot_climb() {
        let mut url = Url::parse("https://bots.example/telegram").unwrap();
        append(&mut url, "1:a", "videos/file 1.mp4").unwrap();
        assert_eq!(url.as_str(), "https://bots.example/telegram/file/bot1:a/videos/file%201.mp4");
        let mut url = Url::parse("https://bots.example").unwrap();
        append(&mut url, "1:a", "../../bot2:b/x?y").unwrap();
        assert_eq!(url.as_str(), "https://bots.example/file/bot1:a/bot2:b/x%3Fy");
    }

    #[test]
    fn only_files_in_the_bots_own_folder_are_its_files() {
        for path in ["/var/lib/bots/1:a/videos/file_0.mp4", "/1:a:T/documents/x.mov", "/1:a/videos/deep/file"]
        {
            assert!(is_of_bot(Path::new(path), "1:a"), "{path}");
        }
        for path in [
            "/etc/passwd",
            "/srv/toall/data/toall.key",
            "/var/lib/bots/1:a/td.binlog",
            "/var/lib/bots/1:a",
            "/var/lib/bots/1:ab/videos/file_0.mp4",
            "/var/lib/bots/2:b/videos/file_0.mp4",
            "/var/lib/bots/x1:a/videos/file_0.mp4",
        ] {
            assert!(!is_of_bot(Path::new(path), "1:a"), "{path}");
        }
    }
}
