//! Names the place in a response that tells through which upstream it came.

use std::str::FromStr;

/// Where a response says through which upstream it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitFrom {
    /// A header's value.
    Header(String),
    /// A text field of the JSON object in the body.
    Json(String),
    /// The whole body, trimmed.
    Body,
}

/// Reads `header:NAME`, `json:FIELD` or `body`.
impl FromStr for ExitFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("header", name)) if !name.is_empty() => Ok(ExitFrom::Header(name.to_owned())),
            Some(("json", field)) if !field.is_empty() => Ok(ExitFrom::Json(field.to_owned())),
            None if text == "body" => Ok(ExitFrom::Body),
            _ => Err(format!("`{text}`: expected header:NAME, json:FIELD or body")),
        }
    }
}
