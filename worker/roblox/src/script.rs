//! The script that a real Roblox is given: an eval of OpenGameEval whose reference is the model's program.
//!
//! OpenGameEval's evals are modules: a table with `setup`, `reference` and checks as functions, which the module's last statement returns.
//! In reference mode Roblox runs `setup`, then `reference`, then the checks, and asks no model. What is judged takes the place of
//! `reference`, whether that was empty, as in the evals, or somebody's solution, as in the debug evals.
//!
//! Promise: the program sees nothing of the eval. It stands before the eval's first statement as a function of its own, from where no
//! local of the eval can be named, and it is whole by itself, so that no `end` of its own can end that function. Nothing is guessed: an
//! eval whose reference cannot be found is a refusal that says so.

use luau_syntax::ast::{Expression, ExpressionKind, Statement, StatementView};
use luau_syntax::location::{Location, Position};
use luau_syntax::parser::{ParseOptions, ParsedSource};
use std::ops::Range;
use thiserror::Error;

/// A script of Roblox's has fewer than 200,000 characters.
pub const SCRIPT_BYTES_MAX: usize = 199_999;

/// The field that is filled in.
const REFERENCE: &str = "reference";

/// What the program is called in the script.
const PROGRAM: &str = "VertigoAnswer";

/// The parser goes down into a source as deep as that is nested, up to a bound of its own that this has room for.
const STACK_BYTES: usize = 64 << 20;

/// Why an eval cannot be given a program. The suite is at fault, not a model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvalError {
    /// It is longer than Roblox takes.
    #[error("the eval has {0} bytes, and Roblox takes scripts of at most {SCRIPT_BYTES_MAX}")]
    Large(usize),
    /// It is no Luau.
    #[error("the eval does not parse: line {0}: {1}")]
    Syntax(u32, String),
    /// Whatever it returns has no name.
    #[error("the eval's last statement does not return a local, as OpenGameEval's `return eval` does")]
    NoEval,
    /// There is nothing to fill in.
    #[error("the eval never sets `{0}.{REFERENCE}` to a function, so there is no place for a program")]
    NoReference(String),
    /// There is more than one thing to fill in.
    #[error("the eval sets `{0}.{REFERENCE}` {1} times, so nobody can say which of them runs")]
    References(String, usize),
}

/// Why a program cannot be sent. The model is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProgramError {
    /// It is no Luau.
    #[error("the program does not parse: line {0}: {1}")]
    Syntax(u32, String),
    /// It is too long.
    #[error("with the program the script has {0} bytes, and Roblox takes at most {SCRIPT_BYTES_MAX}")]
    Large(usize),
    /// Its parts are Luau, and it is none within the eval.
    #[error("the program does not stand within a function: {0}")]
    Within(String),
}

/// An eval whose reference was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eval {
    source: String,
    /// Where its first statement begins.
    first: usize,
    /// The function that is its reference, or the statement that declares it.
    reference: Range<usize>,
    /// What stands in its place.
    instead: String,
    has: Has,
}

/// Which of an eval's functions do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Has {
    /// Its checks of the scene, in edit mode.
    pub check_scene: bool,
    /// Its checks of the game, in play mode.
    pub check_game: bool,
}

impl Eval {
    /// Reads an eval.
    ///
    /// # Errors
    /// It has no place for a program that could be found for sure.
    pub fn read(source: &str) -> Result<Eval, EvalError> {
        if source.len() > SCRIPT_BYTES_MAX {
            return Err(EvalError::Large(source.len()));
        }
        deep(|| read(source))
    }

    /// The script in which `program` is the reference.
    ///
    /// # Errors
    /// The program is no Luau, or too long.
    pub fn with(&self, program: &str) -> Result<String, ProgramError> {
        let Eval { source, first, reference, instead, has: _ } = self;
        // Whatever it ends with, a comment among that, ends before the function does.
        let function = format!("local function {PROGRAM}(...)\n{program}\nend\n\n");
        let script =
            [&source[..*first], &function, &source[*first..reference.start], instead, &source[reference.end..]]
                .concat();
        if script.len() > SCRIPT_BYTES_MAX {
            return Err(ProgramError::Large(script.len()));
        }
        deep(|| {
            // By itself first: what has an `end` too many is none, and could not leave its function.
            parse(program).map_err(|(line, said)| ProgramError::Syntax(line, said))?;
            parse(&script).map_err(|(_, said)| ProgramError::Within(said))
        })?;
        Ok(script)
    }

    /// Which of its functions do something.
    pub fn has(&self) -> Has {
        self.has
    }
}

/// Runs on a stack that has room for the parser's depth.
fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // A system without one thread more runs nothing else either.
            Err(error) => panic!("no thread to parse on: {error}"),
        }
    })
}

fn parse(source: &str) -> Result<ParsedSource, (u32, String)> {
    let said = |location: Location, message: String| (location.begin.line + 1, message);
    let parsed = ParsedSource::parse(source, ParseOptions::default());
    let parsed = parsed.map_err(|errors| (0, errors.to_string()))?;
    match parsed.metadata().errors.first() {
        Some(error) => Err(said(error.location, error.message.to_string())),
        None => Ok(parsed),
    }
}

fn read(source: &str) -> Result<Eval, EvalError> {
    let parsed = parse(source).map_err(|(line, said)| EvalError::Syntax(line, said))?;
    let root = parsed.root();
    let statements = root.as_slice();
    let (Some(first), Some(last)) = (statements.first(), statements.last()) else { return Err(EvalError::NoEval) };
    let StatementView::Return(returned) = last.view() else { return Err(EvalError::NoEval) };
    let [returned] = returned.expressions else { return Err(EvalError::NoEval) };
    let eval = local(*returned).ok_or(EvalError::NoEval)?;
    let places = Places::of(source);
    let mut references = Vec::new();
    let mut has = Has::default();
    for statement in statements {
        for field in fields(*statement, &eval) {
            match field.name.as_str() {
                REFERENCE => references.push((places.range(field.location), field.instead(&eval))),
                "check_scene" => has.check_scene |= field.does_something,
                "check_game" => has.check_game |= field.does_something,
                _ => {}
            }
        }
    }
    match references.len() {
        0 => Err(EvalError::NoReference(eval)),
        1 => {
            let (reference, instead) = references.remove(0);
            let first = places.offset(first.location().begin);
            Ok(Eval { source: source.to_owned(), first, reference, instead, has })
        }
        times => Err(EvalError::References(eval, times)),
    }
}

/// A field of the eval that a statement sets to a function.
struct Field {
    name: String,
    /// Of the function, or of the whole statement that declares it.
    location: Location,
    is_declared: bool,
    does_something: bool,
}

impl Field {
    fn instead(&self, eval: &str) -> String {
        let function = format!("function() {PROGRAM}() end");
        if self.is_declared { format!("{eval}.{} = {function}", self.name) } else { function }
    }
}

/// What of `eval` a statement sets: `eval.x = function() … end`, `function eval.x() … end`.
fn fields(statement: Statement<'_>, eval: &str) -> Vec<Field> {
    match statement.view() {
        StatementView::Assign(assign) => {
            let pairs = assign.vars.iter().zip(assign.values);
            let field = |(var, value): (&Expression<'_>, &Expression<'_>)| {
                let name = field_of(*var, eval)?;
                let (location, does_something) = match value.kind() {
                    ExpressionKind::FunctionLiteral(function) => {
                        (value.location(), !function.body.as_slice().is_empty())
                    }
                    _ => return None,
                };
                Some(Field { name, location, is_declared: false, does_something })
            };
            pairs.filter_map(field).collect()
        }
        StatementView::FunctionDeclaration(declared) => {
            let field = field_of(declared.name, eval).map(|name| {
                let does_something = match declared.function.kind() {
                    ExpressionKind::FunctionLiteral(function) => !function.body.as_slice().is_empty(),
                    _ => true,
                };
                Field { name, location: statement.location(), is_declared: true, does_something }
            });
            field.into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// The name of a local.
fn local(expression: Expression<'_>) -> Option<String> {
    match expression.kind() {
        ExpressionKind::Local { local, .. } => Some(String::from_utf8_lossy(local.name.bytes()).into_owned()),
        _ => None,
    }
}

/// The field of the local `eval` that an expression names.
fn field_of(expression: Expression<'_>, eval: &str) -> Option<String> {
    match expression.kind() {
        ExpressionKind::IndexName { expr, index, .. } if local(expr).as_deref() == Some(eval) => {
            Some(String::from_utf8_lossy(index.bytes()).into_owned())
        }
        _ => None,
    }
}

/// Where lines begin in a source.
struct Places<'s> {
    source: &'s str,
    lines: Vec<usize>,
}

impl<'s> Places<'s> {
    fn of(source: &'s str) -> Places<'s> {
        let ends = source.match_indices('\n').map(|(at, _)| at + 1);
        Places { source, lines: [0].into_iter().chain(ends).collect() }
    }

    /// The parser counts lines from 0, and columns in bytes.
    fn offset(&self, position: Position) -> usize {
        let line = self.lines.get(position.line as usize).copied().unwrap_or(self.source.len());
        (line + position.column as usize).min(self.source.len())
    }

    fn range(&self, location: Location) -> Range<usize> {
        self.offset(location.begin)..self.offset(location.end)
    }
}

#[cfg(test)]
mod tests;
