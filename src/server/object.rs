//! A JSON object, written once and in the order in which it is told.
//!
//! It knows no transport. What it holds is canonical: safe inside a script element, without a line break.
//! Read first: RFC 8259.

use crate::wire::json;

/// Room for most events and replies: none is kept for long.
const OBJECT_BYTES: usize = 160;

/// A JSON object in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    bytes: Vec<u8>,
}

impl Default for Object {
    fn default() -> Object {
        Object::new()
    }
}

impl Object {
    /// `{}`.
    pub fn new() -> Object {
        let mut bytes = Vec::with_capacity(OBJECT_BYTES);
        bytes.extend_from_slice(b"{}");
        Object { bytes }
    }

    /// An event: an object whose first member is its type.
    pub fn event(kind: &str) -> Object {
        Object::new().string("type", kind)
    }

    /// Adds a string.
    #[must_use]
    pub fn string(mut self, name: &str, value: &str) -> Object {
        json::quote(self.member(name), value);
        self.end()
    }

    /// Adds a string, or null.
    #[must_use]
    pub fn optional(self, name: &str, value: Option<&str>) -> Object {
        match value {
            Some(value) => self.string(name, value),
            None => self.raw(name, b"null"),
        }
    }

    /// Adds a whole number.
    #[must_use]
    pub fn number(self, name: &str, value: u64) -> Object {
        let digits = value.to_string();
        self.raw(name, digits.as_bytes())
    }

    /// Adds a truth value.
    #[must_use]
    pub fn boolean(self, name: &str, value: bool) -> Object {
        self.raw(name, if value { b"true" } else { b"false" })
    }

    /// Adds an object.
    #[must_use]
    pub fn object(self, name: &str, value: &Object) -> Object {
        self.raw(name, value.as_bytes())
    }

    /// Adds an array of values that are canonical JSON already.
    #[must_use]
    pub fn array<'a>(mut self, name: &str, values: impl IntoIterator<Item = &'a [u8]>) -> Object {
        let out = self.member(name);
        out.push(b'[');
        join(out, values);
        out.push(b']');
        self.end()
    }

    /// Adds an array of strings.
    #[must_use]
    pub fn strings<'a>(mut self, name: &str, values: impl IntoIterator<Item = &'a str>) -> Object {
        let out = self.member(name);
        out.push(b'[');
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            json::quote(out, value);
        }
        out.push(b']');
        self.end()
    }

    /// Adds a value that is canonical JSON already.
    #[must_use]
    pub fn raw(mut self, name: &str, value: &[u8]) -> Object {
        self.member(name).extend_from_slice(value);
        self.end()
    }

    /// Adds the members of another object.
    #[must_use]
    pub fn members(mut self, other: &Object) -> Object {
        let inner = &other.bytes[1..other.bytes.len() - 1];
        if inner.is_empty() {
            return self;
        }
        self.bytes.pop();
        if self.bytes.len() > 1 {
            self.bytes.push(b',');
        }
        self.bytes.extend_from_slice(inner);
        self.end()
    }

    /// Opens a member: takes the closing brace away and writes the name.
    fn member(&mut self, name: &str) -> &mut Vec<u8> {
        self.bytes.pop();
        if self.bytes.len() > 1 {
            self.bytes.push(b',');
        }
        json::quote(&mut self.bytes, name);
        self.bytes.push(b':');
        &mut self.bytes
    }

    fn end(mut self) -> Object {
        self.bytes.push(b'}');
        self
    }

    /// The JSON text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The JSON text.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Appends `values` with commas between them.
pub fn join<'a>(out: &mut Vec<u8>, values: impl IntoIterator<Item = &'a [u8]>) {
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_order() {
        let object = Object::event("reply")
            .number("ref", 7)
            .boolean("ok", true)
            .strings("users", ["ann", "bob"])
            .object("error", &Object::new().string("code", "<no>"));
        assert_eq!(
            std::str::from_utf8(object.as_bytes()).unwrap(),
            r#"{"type":"reply","ref":7,"ok":true,"users":["ann","bob"],"error":{"code":"\u003cno>"}}"#
        );
    }

    #[test]
    fn members_of_another_are_added() {
        let other = Object::new().number("a", 1);
        assert_eq!(Object::new().members(&other), other);
        assert_eq!(other.clone().members(&Object::new()), other);
        assert_eq!(other.clone().members(&Object::new().number("b", 2)).as_bytes(), br#"{"a":1,"b":2}"#);
    }

    #[test]
    fn an_empty_object_is_one_too() {
        assert_eq!(Object::new().into_bytes(), b"{}");
        assert_eq!(Object::new().optional("a", None).into_bytes(), br#"{"a":null}"#);
        assert_eq!(Object::new().array("a", [&b"1"[..], b"{}"]).into_bytes(), br#"{"a":[1,{}]}"#);
        assert_eq!(Object::new().strings("a", []).into_bytes(), br#"{"a":[]}"#);
    }
}
