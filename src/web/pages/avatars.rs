//! Pictures and names of people and accounts.

use std::collections::BTreeSet;

use maud::{Markup, html};
use url::Url;

use super::chosen;
use crate::{
    account::{Person, Platform},
    words,
};

/// The hosts whose profile pictures a page shows.
///
/// A picture lies at X. The browser, which comes from X, fetches it there itself without saying from where, and may
/// load pictures from that host only. Fetching it here instead would have this service open addresses it was told.
#[derive(Default)]
pub(super) struct Pictures(BTreeSet<String>);

impl Pictures {
    /// Admits a picture and returns its address, if it is a plain one.
    pub(super) fn admit(&mut self, avatar: Option<&str>) -> Option<Url> {
        let url = Url::parse(avatar?).ok().filter(|url| ["http", "https"].contains(&url.scheme()))?;
        let origin = url.origin().ascii_serialization();
        // A host may hold a semicolon, which would end the directive.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:/[]".contains(&byte);
        origin.bytes().all(plain).then(|| self.0.insert(origin))?;
        // X serves 48 pixels unless asked for more (docs.x.com, "User profile images and banners").
        Url::parse(&url.as_str().replacen("_normal.", "_bigger.", 1)).ok()
    }

    pub(super) fn sources(&self) -> String {
        match self.0.is_empty() {
            true => "'none'".to_owned(),
            false => self.0.iter().map(String::as_str).collect::<Vec<_>>().join(" "),
        }
    }
}

/// A round picture, or the first letter where there is none or while it loads.
pub(super) fn face(picture: Option<&Url>, letter: Option<char>) -> Markup {
    html! {
        span.face aria-hidden="true" {
            @if let Some(letter) = letter { (letter.to_uppercase()) }
            @if let Some(url) = picture { img src=(url) alt="" referrerpolicy="no-referrer"; }
        }
    }
}

pub(super) fn chat_face(platform: Platform) -> Markup {
    face(None, platform.title().chars().next())
}

/// What the chat's people call the person, and the id that no other can take.
pub(super) fn chat_person(person: &Person) -> Markup {
    let id: String = person.id.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
    html! {
        b { (chosen(&words::chat_identity(person.platform, &person.name))) }
        @if person.platform != Platform::Console { span.quiet { "id " (id) } }
    }
}

#[cfg(test)]
mod tests {
    use super::Pictures;

    #[test]
    fn only_plain_origins_reach_the_policy() {
        let mut pictures = Pictures::default();
        for address in [
            "https://a;script-src/x.jpg",
            "https://a,b/x.jpg",
            "javascript:alert(1)",
            "data:image/png,x",
            "x.jpg",
        ] {
            assert_eq!(pictures.admit(Some(address)), None, "{address}");
        }
        assert_eq!(pictures.sources(), "'none'");
        let shown = pictures.admit(Some("https://pbs.twimg.com/profile_images/1/a_normal.jpg")).unwrap();
        assert_eq!(shown.path(), "/profile_images/1/a_bigger.jpg");
        assert!(pictures.admit(Some("https://pbs.twimg.com/profile_images/2/b_normal.jpg")).is_some());
        assert!(pictures.admit(Some("http://[::1]:8080/c.svg")).is_some());
        assert_eq!(pictures.sources(), "http://[::1]:8080 https://pbs.twimg.com");
    }
}
