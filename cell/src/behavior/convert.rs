//! JavaScript values to JSON bytes, in one walk without `JSON.stringify`; and the deep freeze of states.
//!
//! What is written: plain objects and arrays, strings, finite numbers, booleans, null. Keys in the
//! order JavaScript gives them, numbers as the shortest text that reads back the same, `-0` as `0`,
//! properties that are undefined left out, symbol keys and non-enumerable properties ignored. What
//! is refused, with the path of the field: functions, BigInts, symbols, NaN and infinities, undefined
//! in an array, lone surrogates, the key `__proto__`, anything nested deeper than [`JSON_DEPTH_MAX`]
//! (cycles are), and objects of any class (Date, Map, Promise, own classes): `toJSON` is not called,
//! since a state that comes back from bytes would not be the one that was there before.
//!
//! With [`Take`] the value becomes what its bytes say: undefined properties are deleted, `-0` becomes
//! `0`, so that a live value and one read back are the same to a script. A state is also frozen, inside
//! out, and what is frozen already is known to be good and skipped: a plain object that is not
//! extensible was walked here, because scripts cannot make one otherwise.
//!
//! A getter in an object literal is read like a property; it is the author's business that it
//! gives the same each time.

use std::cell::RefCell;

use rquickjs::atom::PredefinedAtom;
use rquickjs::object::Filter;
use rquickjs::{Array, Atom, Ctx, Error, Function, Object, Value};

use super::keys::KeyTexts;
use crate::json::{push_index, push_key};
use crate::limits::JSON_DEPTH_MAX;

/// Largest buffer that is kept for the next state, in bytes.
const SCRATCH_BYTES_KEPT: usize = 64 << 10;
/// Integers up to here have one f64 each, and are written without an exponent.
const EXACT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// What happens to the value while it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// Nothing: replies, messages, stored states.
    Copy,
    /// It becomes what its bytes say.
    Event,
    /// Likewise, and it is frozen; parts frozen before are neither walked nor written.
    State,
}

/// Why a value cannot be written.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It has something that JSON cannot hold.
    Bad {
        /// From the culprit outwards.
        path: Vec<Step>,
        /// What it is, and what to do.
        what: String,
    },
    /// Its JSON is longer than allowed.
    TooLarge(usize),
    /// The interpreter failed: a getter threw, or memory ran out.
    Script(Error),
}

/// One step of a path.
#[derive(Debug)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl Refusal {
    pub(super) fn bad(what: impl Into<String>) -> Self {
        Self::Bad { path: Vec::new(), what: what.into() }
    }

    fn under(mut self, step: impl FnOnce() -> Step) -> Self {
        if let Self::Bad { path, .. } = &mut self {
            path.push(step());
        }
        self
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Script(error)
    }
}

/// The path of a refused field, as a script would write it, after the name of the whole.
pub(super) fn path_text(whole: &str, steps: Vec<Step>) -> String {
    let mut path = whole.to_owned();
    // A cycle has as many steps as nesting allows; its beginning says enough.
    for step in steps.into_iter().rev().take(12) {
        match step {
            Step::Key(key) => push_key(&mut path, &key),
            Step::Index(index) => push_index(&mut path, index),
        }
    }
    path
}

/// One walk over one value.
pub(super) struct Walk<'js, 'r> {
    pub(super) ctx: Ctx<'js>,
    pub(super) object_prototype: Value<'js>,
    pub(super) array_prototype: Value<'js>,
    /// `Object.freeze` and `Object.isExtensible`, when the value is to be frozen.
    pub(super) freezing: Option<(Function<'js>, Function<'js>)>,
    pub(super) normalize: bool,
    pub(super) keys: &'r RefCell<KeyTexts>,
    pub(super) scratch: &'r RefCell<Vec<u8>>,
    pub(super) bytes_max: usize,
    pub(super) skipped: usize,
    pub(super) out: Vec<u8>,
}

/// What a walk wrote.
pub(super) struct Written {
    /// The JSON; empty of a state.
    pub(super) bytes: Vec<u8>,
    /// Its length in bytes; of a state only of the parts that were not frozen before.
    pub(super) length: usize,
    /// How many frozen parts were left out.
    pub(super) skipped: usize,
}

impl<'js> Walk<'js, '_> {
    /// Walks `value`.
    pub(super) fn run(mut self, value: &Value<'js>) -> Result<Written, Refusal> {
        self.value(value, 0)?;
        self.within_limit()?;
        let length = self.out.len();
        let mut bytes = std::mem::take(&mut self.out);
        if self.freezing.is_some() {
            bytes.clear();
            bytes.shrink_to(SCRATCH_BYTES_KEPT);
            bytes = std::mem::replace(&mut *self.scratch.borrow_mut(), bytes);
        }
        Ok(Written { bytes, length, skipped: self.skipped })
    }

    fn value(&mut self, value: &Value<'js>, depth: usize) -> Result<(), Refusal> {
        if let Some(int) = value.as_int() {
            push_json(&mut self.out, &int);
        } else if let Some(string) = value.as_string() {
            push_json(&mut self.out, &utf8(string)?);
            self.within_limit()?;
        } else if let Some(number) = value.as_float() {
            return self.float(number);
        } else if let Some(flag) = value.as_bool() {
            push_json(&mut self.out, &flag);
        } else if value.is_null() {
            self.out.extend_from_slice(b"null");
        } else if value.is_object() {
            return self.object(value, depth);
        } else {
            return Err(Refusal::bad(unwritable(value)));
        }
        Ok(())
    }

    fn float(&mut self, number: f64) -> Result<(), Refusal> {
        if !number.is_finite() {
            return Err(Refusal::bad(format!("is {number}, which JSON cannot hold")));
        }
        if number.trunc() == number && number.abs() <= EXACT_INTEGER_MAX {
            push_json(&mut self.out, &(number as i64));
        } else {
            push_json(&mut self.out, &number);
        }
        Ok(())
    }

    fn object(&mut self, value: &Value<'js>, depth: usize) -> Result<(), Refusal> {
        let Some(object) = value.as_object() else { return Err(Refusal::bad(unwritable(value))) };
        if value.is_function() {
            return Err(Refusal::bad("is a function; only data can be kept or sent"));
        }
        if depth == JSON_DEPTH_MAX {
            return Err(Refusal::bad(format!(
                "is nested deeper than {JSON_DEPTH_MAX} levels, or contains itself"
            )));
        }
        let is_array = self.is_plain_array(object)?;
        if let Some((_, is_extensible)) = &self.freezing
            && !is_extensible.call::<_, bool>((value.clone(),))?
        {
            self.skipped += 1;
            return Ok(());
        }
        match value.as_array().filter(|_| is_array) {
            Some(array) => self.items(array, depth)?,
            None => self.fields(object, depth)?,
        }
        self.within_limit()?;
        if let Some((freeze, _)) = &self.freezing {
            freeze.call::<_, Value<'_>>((value.clone(),))?;
        }
        Ok(())
    }

    /// Whether a plain object is an array; refuses what is not plain.
    fn is_plain_array(&self, object: &Object<'js>) -> Result<bool, Refusal> {
        let Some(prototype) = object.get_prototype() else {
            if self.normalize {
                object.set_prototype(self.object_prototype.as_object())?;
            }
            return Ok(false);
        };
        if *prototype.as_value() == self.object_prototype {
            return Ok(object.is_array());
        }
        if *prototype.as_value() == self.array_prototype && object.is_array() {
            return Ok(true);
        }
        Err(Refusal::bad(instance_of(&prototype)))
    }

    fn items(&mut self, array: &Array<'js>, depth: usize) -> Result<(), Refusal> {
        let length: f64 = array.as_object().get(PredefinedAtom::Length)?;
        self.out.push(b'[');
        for index in 0..length as usize {
            if index > 0 {
                self.out.push(b',');
            }
            let item: Value<'js> = array.get(index)?;
            let here = || Step::Index(index);
            if item.is_undefined() {
                let refusal = Refusal::bad("is undefined, which an array cannot hold in JSON; use null");
                return Err(refusal.under(here));
            }
            self.value(&item, depth + 1).map_err(|refusal| refusal.under(here))?;
            if self.normalize && is_negative_zero(&item) {
                array.set(index, 0)?;
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn fields(&mut self, object: &Object<'js>, depth: usize) -> Result<(), Refusal> {
        self.out.push(b'{');
        let mut first = true;
        for field in object.own_props::<Atom<'js>, Value<'js>>(Filter::default()) {
            let (key, item) = field?;
            if item.is_undefined() {
                if self.normalize {
                    object.remove(key)?;
                }
                continue;
            }
            if !first {
                self.out.push(b',');
            }
            first = false;
            let negative_zero = (self.normalize && is_negative_zero(&item)).then(|| key.clone());
            let key = self.keys.borrow_mut().push(&self.ctx, key, &mut self.out)?;
            if let Err(refusal) = self.value(&item, depth + 1) {
                let name = key.restore(&self.ctx)?.to_js_string()?.to_string()?;
                return Err(refusal.under(|| Step::Key(name)));
            }
            if let Some(key) = negative_zero {
                object.set(key, 0)?;
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn within_limit(&self) -> Result<(), Refusal> {
        if self.out.len() > self.bytes_max { Err(Refusal::TooLarge(self.bytes_max)) } else { Ok(()) }
    }
}

/// Appends the JSON of a scalar; a vector takes all bytes, so this cannot fail.
pub(super) fn push_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, scalar: &T) {
    let written = serde_json::to_writer(&mut *out, scalar);
    debug_assert!(written.is_ok());
}

pub(super) fn utf8(string: &rquickjs::String<'_>) -> Result<String, Refusal> {
    string.to_string().map_err(|error| match error {
        Error::Utf8(_) => Refusal::bad("has half of a surrogate pair, which JSON cannot hold"),
        other => Refusal::Script(other),
    })
}

fn is_negative_zero(value: &Value<'_>) -> bool {
    value.as_float().is_some_and(|number| number == 0.0 && number.is_sign_negative())
}

fn unwritable(value: &Value<'_>) -> String {
    if value.is_undefined() {
        return "is undefined".to_owned();
    }
    if value.is_big_int() {
        return "is a BigInt, which JSON cannot hold; use Number(x) or String(x)".to_owned();
    }
    format!("is a {}, which JSON cannot hold", value.type_name())
}

/// What an object is that is not plain data.
fn instance_of(prototype: &Object<'_>) -> String {
    let constructor: Option<Object<'_>> = prototype.get(PredefinedAtom::Constructor).ok();
    let name: Option<String> = constructor.and_then(|c| c.get(PredefinedAtom::Name).ok());
    match name.as_deref() {
        Some("Date") => "is a Date; use its getTime() or toISOString()".to_owned(),
        Some("Promise") => "is a Promise; behaviors are synchronous, without async and await".to_owned(),
        Some(class @ ("Map" | "Set")) => format!("is a {class}; use a plain object or an array"),
        Some(class) if !class.is_empty() => format!("is a {class}; use a plain object"),
        _ => "is not a plain object".to_owned(),
    }
}
