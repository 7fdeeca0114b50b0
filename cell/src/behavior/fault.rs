//! Exceptions made into [`ScriptError`]s: which kind, which line, in a sentence.

use std::sync::Arc;

use rquickjs::{Coerced, Ctx, Error, Value};

use super::deadline::Deadline;
use super::{ScriptError, ScriptErrorKind};

/// Stands before a file name inside the interpreter, so that its stack lines can be told from others
/// and no `import` names another behavior.
pub(super) const MARK: char = '\u{1}';

/// Where a script came from, for its errors.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The file as the manifest names it.
    pub(super) file: Arc<str>,
}

impl Origin {
    /// The module name that the interpreter knows the file by.
    pub(super) fn module_name(&self) -> String {
        format!("{MARK}{}", self.file)
    }

    /// An error at `line` (0: not known).
    pub(super) fn error(&self, kind: ScriptErrorKind, line: u32, message: impl Into<String>) -> ScriptError {
        ScriptError { kind, file: Arc::clone(&self.file), line, message: message.into() }
    }

    /// The innermost line of this file in a stack trace.
    fn line_in(&self, stack: &str) -> u32 {
        let name = self.module_name();
        let after = stack.find(&name).map(|at| &stack[at + name.len()..]);
        let digits = after.and_then(|rest| rest.strip_prefix(':'));
        digits.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()).unwrap_or(0)
    }

    /// The line that `exception`, an Error object, came from.
    pub(super) fn line_of(&self, exception: &Value<'_>) -> u32 {
        let stack = exception.as_exception().and_then(rquickjs::Exception::stack);
        stack.map_or(0, |stack| self.line_in(&stack))
    }

    /// What a failed call into the interpreter means. Takes the pending exception.
    pub(super) fn fault(&self, ctx: &Ctx<'_>, error: &Error, deadline: &Deadline) -> ScriptError {
        match error {
            Error::Exception => self.thrown(&ctx.catch(), deadline),
            Error::Allocation => self.error(ScriptErrorKind::MemoryLimit, 0, OUT_OF_MEMORY),
            other => self.error(ScriptErrorKind::Threw, 0, other.to_string()),
        }
    }

    /// What a thrown value means.
    pub(super) fn thrown(&self, value: &Value<'_>, deadline: &Deadline) -> ScriptError {
        use ScriptErrorKind::{MemoryLimit, StackLimit, Threw, TimeLimit};
        let line = self.line_of(value);
        if let Some(limit_ms) = deadline.exceeded_ms() {
            let message = format!("ran longer than its {limit_ms} ms; make the loop end, or raise the limit");
            return self.error(TimeLimit, line, message);
        }
        let Some(exception) = value.as_exception() else {
            // Nothing is left to make an Error object from when memory is out.
            return if value.is_null() || value.type_of() == rquickjs::Type::Uninitialized {
                self.error(MemoryLimit, line, OUT_OF_MEMORY)
            } else {
                let shown =
                    value.get::<Coerced<String>>().map_or_else(|_| "a value".to_owned(), |text| text.0);
                self.error(Threw, line, format!("threw {shown}; throw an Error to see the line"))
            };
        };
        let message = exception.message().unwrap_or_default();
        match message.as_str() {
            "out of memory" => self.error(MemoryLimit, line, OUT_OF_MEMORY),
            "Maximum call stack size exceeded" => {
                self.error(StackLimit, line, "recursed deeper than the stack allows")
            }
            _ => self.error(Threw, line, Self::titled(exception, &message)),
        }
    }

    /// `TypeError: it is not a function`; the plain message for a plain Error.
    fn titled(exception: &rquickjs::Exception<'_>, message: &str) -> String {
        let name =
            exception.as_object().get::<_, Coerced<String>>("name").map_or_else(|_| String::new(), |n| n.0);
        if name.is_empty() || name == "Error" { message.to_owned() } else { format!("{name}: {message}") }
    }
}

const OUT_OF_MEMORY: &str = "allocated more memory than a script may";
