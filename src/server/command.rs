//! A command as a client sends it: one JSON object, its members read when they are asked for.
//!
//! It knows no client and carries nothing out. Read first: the section on writing in the wire surface.

use std::collections::BTreeMap;
use std::fmt;

use serde_core::Deserializer as _;
use serde_core::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::refusal::Refusal;
use crate::limits::{COMMAND_MEMBERS_MAX, COMMAND_REF_BYTES_MAX, JSON_DEPTH_MAX};
use crate::wire::json::{self, BadJson};

/// One command.
#[derive(Debug)]
pub struct Command<'a> {
    op: String,
    reference: Vec<u8>,
    members: BTreeMap<String, &'a RawValue>,
}

/// Which members of an object are kept. The others are read over: each costs its bytes, and no place.
#[derive(Clone, Copy, Debug)]
enum Wanted<'n> {
    /// All, and no more than `COMMAND_MEMBERS_MAX`.
    All,
    /// Those of these names.
    Named(&'n [&'n str]),
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = BTreeMap<String, &'de RawValue>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            match self {
                Wanted::Named(names) if !names.contains(&name.as_str()) => {
                    map.next_value::<IgnoredAny>()?;
                }
                Wanted::All if members.len() == COMMAND_MEMBERS_MAX && !members.contains_key(&name) => {
                    return Err(A::Error::custom(format_args!("more than {COMMAND_MEMBERS_MAX} members")));
                }
                // Of members with one name the last holds, as in JavaScript.
                _ => drop(members.insert(name, map.next_value()?)),
            }
        }
        Ok(members)
    }
}

impl<'a> Command<'a> {
    /// Reads a command.
    ///
    /// # Errors
    /// The text is no JSON object, has no `op`, or its `ref` is neither a short string nor a number. The
    /// refusal says which; a reply to it has no `ref`, since there is none to trust.
    pub fn parse(text: &'a str) -> Result<Command<'a>, Refusal> {
        let mut command = Command::members(text)?;
        if let Some(reference) = command.members.get("ref") {
            command.reference = reference_of(reference.get())?;
        }
        command.op = command.string("op")?;
        Ok(command)
    }

    /// Reads an object that has members like a command's, but nothing to be done.
    ///
    /// # Errors
    /// The text is no JSON object, or has more than `COMMAND_MEMBERS_MAX` members.
    pub fn members(text: &'a str) -> Result<Command<'a>, Refusal> {
        Command::of(text, Wanted::All)
    }

    /// Reads those members of an object that have one of `names`, however many others it has.
    ///
    /// # Errors
    /// The text is no JSON object.
    pub fn members_named(text: &'a str, names: &[&str]) -> Result<Command<'a>, Refusal> {
        Command::of(text, Wanted::Named(names))
    }

    fn of(text: &'a str, wanted: Wanted<'_>) -> Result<Command<'a>, Refusal> {
        let mut parser = serde_json::Deserializer::from_str(json::without_mark(text));
        let read = parser.deserialize_map(wanted).and_then(|members| parser.end().map(|()| members));
        let members = read.map_err(|error| {
            Refusal::new(400, "bad_json", format!("This must be one JSON object: {error}."))
        })?;
        Ok(Command { op: String::new(), reference: b"null".to_vec(), members })
    }

    /// What is to be done.
    pub fn op(&self) -> &str {
        &self.op
    }

    /// The `ref` to answer with, canonical JSON; `null` if none was given.
    pub fn reference(&self) -> &[u8] {
        &self.reference
    }

    /// A member that must be a string.
    ///
    /// # Errors
    /// It is missing or something else.
    pub fn string(&self, name: &str) -> Result<String, Refusal> {
        self.optional_string(name)?.ok_or_else(|| Refusal::missing(name))
    }

    /// A member that is a string, if it is there. Null counts as absent.
    ///
    /// # Errors
    /// It is something else.
    pub fn optional_string(&self, name: &str) -> Result<Option<String>, Refusal> {
        let wants = |_| Refusal::bad_value(name, "a string");
        self.present(name).map(serde_json::from_str).transpose().map_err(wants)
    }

    /// A member that is a whole number not below zero, if it is there. Null counts as absent.
    ///
    /// # Errors
    /// It is something else.
    pub fn optional_number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let wants = |_| Refusal::bad_value(name, "a whole number");
        self.present(name).map(serde_json::from_str).transpose().map_err(wants)
    }

    /// A member that must be a truth value.
    ///
    /// # Errors
    /// It is missing or something else.
    pub fn boolean(&self, name: &str) -> Result<bool, Refusal> {
        let text = self.required(name)?;
        serde_json::from_str(text).map_err(|_| Refusal::bad_value(name, "true or false"))
    }

    /// A member that must be an object: its members, to be read like those of a command.
    ///
    /// # Errors
    /// It is missing or something else.
    pub fn object(&self, name: &str) -> Result<Command<'a>, Refusal> {
        let text = self.required(name)?;
        Command::members(text).map_err(|_| Refusal::bad_value(name, "an object"))
    }

    /// A member that must be an array of objects, each read like [`Command::object`].
    ///
    /// # Errors
    /// It is missing or something else.
    pub fn objects(&self, name: &str) -> Result<Vec<Command<'a>>, Refusal> {
        let wrong = || Refusal::bad_value(name, "an array of objects");
        let items: Vec<&'a RawValue> = serde_json::from_str(self.required(name)?).map_err(|_| wrong())?;
        items.into_iter().map(|item| Command::members(item.get()).map_err(|_| wrong())).collect()
    }

    /// A member that must be an array of strings.
    ///
    /// # Errors
    /// It is missing or something else.
    pub fn strings(&self, name: &str) -> Result<Vec<String>, Refusal> {
        let wants = |_| Refusal::bad_value(name, "an array of strings");
        serde_json::from_str(self.required(name)?).map_err(wants)
    }

    /// A member that must be an array of whole numbers, none below zero.
    ///
    /// # Errors
    /// It is missing or something else.
    pub fn numbers(&self, name: &str) -> Result<Vec<u64>, Refusal> {
        let wants = |_| Refusal::bad_value(name, "an array of whole numbers");
        serde_json::from_str(self.required(name)?).map_err(wants)
    }

    fn required(&self, name: &str) -> Result<&'a str, Refusal> {
        self.present(name).ok_or_else(|| Refusal::missing(name))
    }

    fn present(&self, name: &str) -> Option<&'a str> {
        self.members.get(name).map(|raw| raw.get()).filter(|text| *text != "null")
    }

    /// Whether there is such a member, though it be null.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// A member of any kind, as canonical JSON.
    ///
    /// # Errors
    /// It is missing, or holds half of a surrogate pair, which is no character.
    pub fn json(&self, name: &str) -> Result<Vec<u8>, Refusal> {
        let raw = self.members.get(name).ok_or_else(|| Refusal::missing(name))?;
        canonical(raw.get())
    }
}

/// Canonical JSON of a text that is known to be JSON.
///
/// # Errors
/// It holds half of a surrogate pair, or is nested too deep.
pub fn canonical(text: &str) -> Result<Vec<u8>, Refusal> {
    json::compact(text).map_err(|bad| {
        let sentence = match bad {
            BadJson::TooDeep => format!("Nest arrays and objects at most {JSON_DEPTH_MAX} deep."),
            BadJson::LoneSurrogate | BadJson::CutShort => {
                "A string holds half of a surrogate pair; escape the whole character.".to_owned()
            }
        };
        Refusal::new(400, "bad_json", sentence)
    })
}

/// A `ref` is given back as it came, so it is kept short, and simple enough to be compared by anyone.
fn reference_of(raw: &str) -> Result<Vec<u8>, Refusal> {
    let simple =
        raw.starts_with('"') || raw.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if raw.len() > COMMAND_REF_BYTES_MAX || !(simple || raw == "null") {
        return Err(Refusal::bad_value("ref", "a short string or a number"));
    }
    canonical(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> &'static str {
        Command::parse(text).expect_err("refused").code
    }

    #[test]
    fn members_are_read_as_what_they_are() {
        let command = Command::parse(
            r#"{"op":"publish","ref":7,"ch":"lobby","data":{"a": [1.0, "<"]},"last":3,"on":true}"#,
        )
        .unwrap();
        assert_eq!((command.op(), command.reference()), ("publish", &b"7"[..]));
        assert_eq!(command.string("ch").unwrap(), "lobby");
        assert_eq!(command.json("data").unwrap(), br#"{"a":[1.0,"\u003c"]}"#);
        assert_eq!(command.optional_number("last").unwrap(), Some(3));
        assert_eq!(command.optional_string("key").unwrap(), None);
        assert!(command.boolean("on").unwrap());
        assert_eq!(command.boolean("last").unwrap_err().code, "bad_value");
        assert_eq!(command.boolean("off").unwrap_err().code, "missing_value");
        assert_eq!(command.string("last").unwrap_err().code, "bad_value");
        assert_eq!(command.string("none").unwrap_err().code, "missing_value");
    }

    #[test]
    fn arrays_and_objects_are_read_as_what_they_are() {
        let command = Command::parse(
            r#"{"op":"roll","dice":[6, 20],"who":["ann","\u00e9"],"how":{"sum":true},"all":[{"n":1},{"n":2}],
                "no":null}"#,
        )
        .unwrap();
        assert_eq!(command.numbers("dice").unwrap(), [6, 20]);
        assert_eq!(command.strings("who").unwrap(), ["ann", "é"]);
        assert!(command.object("how").unwrap().boolean("sum").unwrap());
        let all = command.objects("all").unwrap();
        let numbers: Vec<_> = all.iter().map(|one| one.optional_number("n").unwrap()).collect();
        assert_eq!(numbers, [Some(1), Some(2)]);
        assert_eq!(command.objects("dice").unwrap_err().code, "bad_value");
        assert_eq!(command.numbers("who").unwrap_err().code, "bad_value");
        assert_eq!(command.strings("how").unwrap_err().code, "bad_value");
        assert_eq!(command.object("dice").unwrap_err().code, "bad_value");
        assert_eq!(command.object("no").unwrap_err().code, "missing_value");
        assert_eq!(command.strings("none").unwrap_err().code, "missing_value");
    }

    #[test]
    fn members_have_a_bound_and_those_that_are_named_have_none() {
        let object = |members: usize| {
            let others: String = (1..members).map(|number| format!("\"m{number}\":0,")).collect();
            format!("{{{others}\"op\":\"ping\"}}")
        };
        assert_eq!(Command::parse(&object(COMMAND_MEMBERS_MAX)).unwrap().op(), "ping");
        let refusal = Command::parse(&object(COMMAND_MEMBERS_MAX + 1)).unwrap_err();
        assert!(refusal.code == "bad_json" && refusal.message.contains("256 members"), "{refusal:?}");
        // One name, however often, is one member, and its last value holds.
        let often = format!(r#"{{{}"op":"ping"}}"#, r#""op":"pong","#.repeat(COMMAND_MEMBERS_MAX));
        assert_eq!(Command::parse(&often).unwrap().op(), "ping");
        let many = object(10_000);
        let named = Command::members_named(&many, &["op", "other"]).unwrap();
        assert!(named.has("op") && !named.has("other") && !named.has("m1"));
        assert_eq!(Command::members_named("[]", &["op"]).unwrap_err().code, "bad_json");
        assert_eq!(Command::members_named("{} {}", &["op"]).unwrap_err().code, "bad_json");
    }

    #[test]
    fn what_is_no_command_is_refused() {
        assert_eq!(code(""), "bad_json");
        assert_eq!(code("[]"), "bad_json");
        assert_eq!(code("{} {}"), "bad_json");
        assert_eq!(code(&"[".repeat(100_000)), "bad_json");
        assert_eq!(code("{}"), "missing_value");
        assert_eq!(code(r#"{"op":1}"#), "bad_value");
        assert_eq!(code(r#"{"op":"ping","ref":{}}"#), "bad_value");
        assert_eq!(code(&format!(r#"{{"op":"ping","ref":"{}"}}"#, "x".repeat(200))), "bad_value");
    }
}
