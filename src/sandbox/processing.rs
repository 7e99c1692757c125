//! Processing of a video between finalize and the post.

use std::time::SystemTime;

use serde_json::{Value, json};

/// How many steps a video takes from `pending` to `succeeded`.
#[derive(Clone, Copy, Debug)]
pub struct Processing {
    /// Steps until it has succeeded; 0 leaves `processing_info` out altogether: ready at once.
    pub steps: u32,
    /// Seconds per step by the clock, and what `check_after_secs` says; 0 makes every status
    /// request one step.
    pub check_after_secs: u64,
}

/// How X says that it could not process a video.
#[derive(Clone, Debug)]
pub struct ProcessingFailure {
    /// `error.code`; 1 for InvalidMedia, 3 for UnsupportedMedia.
    pub code: u32,
    /// `error.name`.
    pub name: String,
    /// `error.message`.
    pub message: String,
    /// Leaves the state at `in_progress` beside the error, as has been seen.
    pub while_in_progress: bool,
}

impl ProcessingFailure {
    /// X could not read the file.
    pub fn invalid_media() -> Self {
        Self {
            code: 1,
            name: "InvalidMedia".to_owned(),
            message: "Invalid or unsupported media.".to_owned(),
            while_in_progress: false,
        }
    }

    /// X read the file and does not take what is in it.
    pub fn unsupported_media(message: &str) -> Self {
        Self {
            code: 3,
            name: "UnsupportedMedia".to_owned(),
            message: message.to_owned(),
            while_in_progress: false,
        }
    }
}

/// The processing of one video.
pub(super) struct Run {
    began: SystemTime,
    asked: u32,
    processing: Processing,
    failure: Option<ProcessingFailure>,
}

impl Run {
    pub(super) fn start(
        began: SystemTime,
        processing: Processing,
        failure: Option<ProcessingFailure>,
    ) -> Self {
        Self { began, asked: 0, processing, failure }
    }

    /// A status request came in.
    pub(super) fn asked(&mut self) {
        self.asked = self.asked.saturating_add(1);
    }

    pub(super) fn is_over_well(&self, now: SystemTime) -> bool {
        self.failure.is_none() && self.steps_done(now) >= self.processing.steps
    }

    fn steps_done(&self, now: SystemTime) -> u32 {
        let since = now.duration_since(self.began).unwrap_or_default();
        match since.as_secs().checked_div(self.processing.check_after_secs) {
            Some(steps) => u32::try_from(steps).unwrap_or(u32::MAX),
            None => self.asked,
        }
    }

    /// `processing_info`, unless there is nothing to process.
    pub(super) fn info(&self, now: SystemTime) -> Option<Value> {
        let steps = self.processing.steps;
        let done = self.steps_done(now);
        let percent = u64::from(done.min(steps)) * 100;
        let percent = percent.checked_div(u64::from(steps)).unwrap_or(100);
        if done < steps {
            let mut info = match done {
                0 => json!({"state": "pending"}),
                _ => json!({"state": "in_progress", "progress_percent": percent}),
            };
            info["check_after_secs"] = json!(self.processing.check_after_secs);
            return Some(info);
        }
        match &self.failure {
            None if steps == 0 => None,
            None => Some(json!({"state": "succeeded", "progress_percent": percent})),
            Some(failure) => Some(json!({
                "state": if failure.while_in_progress { "in_progress" } else { "failed" },
                "progress_percent": percent,
                "error": {
                    "code": failure.code,
                    "name": failure.name,
                    "message": failure.message,
                },
            })),
        }
    }
}
