//! What the realm's own objects are to Rust, held between calls.

use std::cell::RefCell;

use rquickjs::{Ctx, Error, Function, Persistent, Value};

use super::convert::{Take, Walk};
use super::keys::KeyTexts;

/// First size of a buffer for JSON, in bytes.
const BYTES_EXPECTED: usize = 256;

/// What the realm's own objects are, held between calls.
pub(super) struct Intrinsics {
    freeze: Persistent<Function<'static>>,
    is_extensible: Persistent<Function<'static>>,
    object_prototype: Persistent<Value<'static>>,
    array_prototype: Persistent<Value<'static>>,
    make_error: Persistent<Function<'static>>,
    keys: RefCell<KeyTexts>,
    scratch: RefCell<Vec<u8>>,
}

impl Intrinsics {
    /// Keeps the realm's native `Object.freeze` and `Object.isExtensible`, the two prototypes of data,
    /// and a function that makes an error of a message.
    pub(super) fn new<'js>(
        ctx: &Ctx<'js>,
        freeze: Function<'js>,
        is_extensible: Function<'js>,
        object_prototype: Value<'js>,
        array_prototype: Value<'js>,
        make_error: Function<'js>,
    ) -> Self {
        Self {
            freeze: Persistent::save(ctx, freeze),
            is_extensible: Persistent::save(ctx, is_extensible),
            object_prototype: Persistent::save(ctx, object_prototype),
            array_prototype: Persistent::save(ctx, array_prototype),
            make_error: Persistent::save(ctx, make_error),
            keys: RefCell::default(),
            scratch: RefCell::default(),
        }
    }

    /// An Error object with the lines that are running.
    pub(super) fn error<'js>(&self, ctx: &Ctx<'js>, message: &str) -> Result<Value<'js>, Error> {
        self.make_error.clone().restore(ctx)?.call((message,))
    }

    /// A walk over values of this realm's runtime, writing at most `bytes_max` bytes.
    pub(super) fn walk<'js>(
        &self,
        ctx: &Ctx<'js>,
        take: Take,
        bytes_max: usize,
    ) -> Result<Walk<'js, '_>, Error> {
        Ok(Walk {
            ctx: ctx.clone(),
            object_prototype: self.object_prototype.clone().restore(ctx)?,
            array_prototype: self.array_prototype.clone().restore(ctx)?,
            freezing: match take {
                Take::State => {
                    Some((self.freeze.clone().restore(ctx)?, self.is_extensible.clone().restore(ctx)?))
                }
                Take::Copy | Take::Event => None,
            },
            normalize: take != Take::Copy,
            keys: &self.keys,
            bytes_max,
            skipped: 0,
            // What a state's walk writes is only counted, so its buffer is used again.
            out: if take == Take::State { self.scratch.take() } else { Vec::with_capacity(BYTES_EXPECTED) },
            scratch: &self.scratch,
        })
    }
}
