//! What is wrong with the configuration, all of it at once.

use std::fmt;

/// Everything that keeps a configuration from being used. Its text names each setting, the fault and the mend.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file as the operator named it; `None` when only the environment was read.
    pub file: Option<String>,
    /// At least one.
    pub problems: Vec<Problem>,
    /// The next start may succeed without a change: a parameter could not be fetched.
    pub temporary: bool,
}

/// One setting that is wrong. Never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands: a key, a place in the file, or an environment variable.
    pub place: Place,
    /// The rest of the sentence that begins with the place.
    pub fault: String,
}

/// Where a problem stands, by the name the operator knows it under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File(String),
    Environment(String),
}

impl Problem {
    pub(super) fn in_file(place: impl Into<String>, fault: impl Into<String>) -> Self {
        Problem { place: Place::File(place.into()), fault: fault.into() }
    }

    pub(super) fn in_environment(variable: impl Into<String>, fault: impl Into<String>) -> Self {
        Problem { place: Place::Environment(variable.into()), fault: fault.into() }
    }
}

impl Place {
    fn name(&self) -> &str {
        let (Place::File(name) | Place::Environment(name)) = self;
        name
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_file = self.problems.iter().any(|problem| matches!(problem.place, Place::File(_)));
        let in_environment =
            self.problems.iter().any(|problem| matches!(problem.place, Place::Environment(_)));
        match (&self.file, in_file, in_environment) {
            (Some(file), true, true) => write!(f, "{file} and the environment have ")?,
            (None, ..) | (_, false, true) => f.write_str("the environment has ")?,
            (Some(file), ..) => write!(f, "{file} has ")?,
        }
        match self.problems.len() {
            1 => f.write_str("1 problem:")?,
            n => write!(f, "{n} problems:")?,
        }
        let width =
            self.problems.iter().map(|problem| problem.place.name().chars().count()).fold(21, usize::max);
        for problem in &self.problems {
            write!(f, "\n  {:width$}  {}", problem.place.name(), problem.fault)?;
        }
        if self.file.is_none() {
            f.write_str("\nNo file was read: --config FILE or TOALL_CONFIG names one.")?;
        }
        Ok(())
    }
}
