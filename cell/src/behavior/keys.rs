//! The JSON text of property names, made once per name: most names are seen again and again.

use rquickjs::{Atom, Ctx, Persistent};
use rustc_hash::FxHashMap;

use super::convert::{Refusal, push_json, utf8};

/// Distinct property names whose JSON text is remembered; maps by id would fill memory otherwise.
const KEYS_REMEMBERED_MAX: usize = 4_096;

/// The JSON text of property names, with the colon, by atom.
#[derive(Default)]
pub(super) struct KeyTexts {
    by_atom: FxHashMap<Persistent<Atom<'static>>, Box<[u8]>>,
}

impl KeyTexts {
    /// Writes `"key":`, and gives the key back.
    pub(super) fn push<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        key: Atom<'js>,
        out: &mut Vec<u8>,
    ) -> Result<Persistent<Atom<'static>>, Refusal> {
        let key = Persistent::save(ctx, key);
        if let Some(text) = self.by_atom.get(&key) {
            out.extend_from_slice(text);
            return Ok(key);
        }
        let name = utf8(&key.clone().restore(ctx)?.to_js_string()?)?;
        if name == "__proto__" {
            return Err(Refusal::bad("has the key __proto__, which is not allowed; choose another name"));
        }
        let start = out.len();
        push_json(out, &name);
        out.push(b':');
        if self.by_atom.len() >= KEYS_REMEMBERED_MAX {
            self.by_atom.clear();
        }
        self.by_atom.insert(key.clone(), out[start..].into());
        Ok(key)
    }
}
