//! Figures beside their bars.

use std::fmt;

/// The most a figure may be, in the unit it is shown in.
pub struct Bar(pub f64);

/// Rows as they are printed: the median, the spread, the bar and whether it holds.
#[derive(Default)]
pub struct Table(Vec<Row>);

enum Row {
    Heading(&'static str),
    Figure { what: &'static str, median: String, spread: String, bar: String, verdict: &'static str },
}

impl Table {
    pub fn heading(&mut self, text: &'static str) {
        self.0.push(Row::Heading(text));
    }

    pub fn seconds(&mut self, what: &'static str, seconds: &[f64], bar: Option<Bar>) {
        self.figure(what, seconds, 1.0, "s", bar);
    }

    pub fn millis(&mut self, what: &'static str, seconds: &[f64], bar: Option<Bar>) {
        self.figure(what, seconds, 1e3, "ms", bar);
    }

    pub fn mib(&mut self, what: &'static str, kib: &[f64], bar: Option<Bar>) {
        self.figure(what, kib, 1.0 / 1024.0, "MiB", bar);
    }

    /// The ratio of the medians.
    pub fn ratio(&mut self, what: &'static str, of: &[f64], to: &[f64], bar: Option<Bar>) {
        self.figure(what, &[sorted(of).1 / sorted(to).1], 1.0, "×", bar);
    }

    fn figure(&mut self, what: &'static str, values: &[f64], scale: f64, unit: &str, bar: Option<Bar>) {
        let (least, median, most) = sorted(values);
        let shown = |value: f64| {
            let value = value * scale;
            let places = if value < 10.0 { 2 } else { 1 };
            format!("{value:.places$}")
        };
        let spread =
            if values.len() > 1 { format!("{} – {}", shown(least), shown(most)) } else { String::new() };
        let verdict = match &bar {
            Some(Bar(bar)) if median * scale <= *bar => "holds",
            Some(_) => "MISSED",
            None => "",
        };
        let bar = bar.map(|Bar(bar)| format!("≤ {bar} {unit}")).unwrap_or_default();
        self.0.push(Row::Figure { what, median: format!("{} {unit}", shown(median)), spread, bar, verdict });
    }
}

/// Least, median and most.
fn sorted(values: &[f64]) -> (f64, f64, f64) {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.as_slice() {
        [] => (f64::NAN, f64::NAN, f64::NAN),
        [least, .., most] => (*least, values[middle], *most),
        [only] => (*only, *only, *only),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<48} {:>10}  {:<17} {:<10}", "", "median", "least – most", "bar")?;
        for row in &self.0 {
            match row {
                Row::Heading(text) => writeln!(f, "{text}")?,
                Row::Figure { what, median, spread, bar, verdict } => {
                    let line = format!("  {what:<46} {median:>10}  {spread:<17} {bar:<10} {verdict}");
                    writeln!(f, "{}", line.trim_end())?;
                }
            }
        }
        Ok(())
    }
}
