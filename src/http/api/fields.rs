//! Reads a request's fields and collects everything that is wrong with them, each error with its pointer.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::dcv::field::{FieldError, is_one_line};
use crate::dcv::timestamp::Timestamp;

/// A JSON object being read. What is not taken by the end is an unknown field.
pub(super) struct Fields<'v> {
    pointer: String,
    values: &'v Map<String, Value>,
    known: Vec<&'static str>,
    pub(super) errors: Vec<FieldError>,
}

impl<'v> Fields<'v> {
    /// Begins reading an object that stands at `pointer`.
    pub(super) fn new(pointer: &str, values: &'v Map<String, Value>) -> Self {
        Self { pointer: pointer.to_owned(), values, known: Vec::new(), errors: Vec::new() }
    }

    /// The pointer of a field.
    pub(super) fn at(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"))
    }

    pub(super) fn error(&mut self, name: &str, code: &'static str, detail: impl Into<String>) {
        let pointer = self.at(name);
        self.errors.push(FieldError::new(pointer, code, detail));
    }

    /// A field's value; `None` where it is absent or null.
    pub(super) fn value(&mut self, name: &'static str) -> Option<&'v Value> {
        self.known.push(name);
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// One line of text of `max_chars` at most, not blank.
    pub(super) fn line(&mut self, name: &'static str, max_chars: usize) -> Option<String> {
        let Value::String(text) = self.value(name)? else {
            self.error(name, "bad-value", "must be a string");
            return None;
        };
        match check_line(text, max_chars) {
            Ok(()) => Some(text.clone()),
            Err(problem) => {
                self.error(name, "bad-value", problem);
                None
            }
        }
    }

    /// As [`Fields::line`], and its absence is an error.
    pub(super) fn required_line(&mut self, name: &'static str, max_chars: usize) -> Option<String> {
        if self.values.get(name).is_none_or(Value::is_null) {
            self.known.push(name);
            self.error(name, "missing-field", "this field is required");
            return None;
        }
        self.line(name, max_chars)
    }

    /// A list; anything else is an error.
    pub(super) fn list(&mut self, name: &'static str) -> Option<&'v Vec<Value>> {
        if let Value::Array(list) = self.value(name)? {
            Some(list)
        } else {
            self.error(name, "bad-value", "must be a list");
            None
        }
    }

    /// An object; anything else is an error.
    pub(super) fn object(&mut self, name: &'static str) -> Option<&'v Map<String, Value>> {
        if let Value::Object(object) = self.value(name)? {
            Some(object)
        } else {
            self.error(name, "bad-value", "must be an object");
            None
        }
    }

    /// One of several words.
    pub(super) fn word<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Option<T>, words: &str) -> Option<T> {
        let found = self.value(name)?.as_str().and_then(parse);
        if found.is_none() {
            self.error(name, "bad-value", format!("must be one of: {words}"));
        }
        found
    }

    /// Whether nothing was wrong with a field so far.
    pub(super) fn is_well(&self, name: &str) -> bool {
        let pointer = self.at(name);
        self.errors.iter().all(|error| error.pointer != pointer)
    }

    /// A whole number within a range; its absence is an error.
    pub(super) fn required_integer(&mut self, name: &'static str, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let Some(value) = self.value(name) else {
            self.error(name, "missing-field", "this field is required");
            return None;
        };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number));
        if number.is_none() {
            self.error(name, "bad-value", format!("must be a whole number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// An instant, RFC 3339; its absence is an error.
    pub(super) fn required_time(&mut self, name: &'static str) -> Option<Timestamp> {
        let Some(value) = self.value(name) else {
            self.error(name, "missing-field", "this field is required");
            return None;
        };
        let time = value.as_str().and_then(|text| Timestamp::parse_rfc3339(text).ok());
        if time.is_none() {
            self.error(name, "bad-value", "must be an instant such as 2026-11-22T09:00:00Z (RFC 3339)");
        }
        time
    }

    /// Ends reading: what was not asked for is unknown.
    pub(super) fn finish(mut self) -> Vec<FieldError> {
        for name in self.values.keys() {
            if !self.known.contains(&name.as_str()) {
                let pointer = self.at(name);
                self.errors.push(FieldError::new(pointer, "unknown-field", "there is no such field"));
            }
        }
        self.errors
    }
}

/// Whether text can stand on one line of a mail.
fn check_line(text: &str, max_chars: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("must not be blank".to_owned());
    }
    if text.chars().count() > max_chars {
        return Err(format!("must hold {max_chars} characters at most"));
    }
    if is_one_line(text) { Ok(()) } else { Err("must not hold control characters or line breaks".to_owned()) }
}

/// Checks that a query holds only the parameters `known`; a pointer names each that is not.
pub(super) fn unknown_parameters(query: &HashMap<String, String>, known: &[&str]) -> Vec<FieldError> {
    let mut unknown: Vec<&String> = query.keys().filter(|name| !known.contains(&name.as_str())).collect();
    unknown.sort();
    unknown.into_iter().map(|name| FieldError::new(format!("/{name}"), "unknown-field", "there is no such parameter")).collect()
}
