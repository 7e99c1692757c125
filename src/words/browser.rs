//! What the script of the upload page says. It comes with the page as JSON; `{name}` stands for a value.

/// Every sentence of the script, by name.
pub const BROWSER: &str = include_str!("browser.json");
