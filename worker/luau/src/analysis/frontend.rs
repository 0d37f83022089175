//! Luau's frontend, as a port of it to Rust offers it, behind one question: what is there to say of this source?

use super::{Analysis, Finding, Kind, bound};
use luau_analysis::diagnostics::error::TypeErrorData;
use luau_analysis::{
    DefinitionEnvironment, FileResolver, Frontend, FrontendOptions, ModuleName, NullConfigResolver, SourceCode,
    SourceCodeType,
};
use luau_common::BString;

/// Seconds in which types are inferred; beyond them the frontend itself gives up.
const SECONDS: f64 = 20.0;

/// The one module that there is.
const NAME: &str = "main";

/// Hands the frontend the source under question.
#[derive(Debug, Default)]
struct Source(BString);

impl FileResolver for Source {
    fn read_source(&mut self, name: &ModuleName) -> Option<SourceCode> {
        (name == NAME).then(|| SourceCode { source: self.0.clone(), kind: SourceCodeType::Module })
    }
}

/// A frontend with its definitions loaded.
pub(super) struct Checker {
    frontend: Frontend<Source, NullConfigResolver>,
    /// The definitions say all that there is: what they do not name is an error.
    is_complete: bool,
}

impl Checker {
    /// The frontend's complaint is the error.
    pub(super) fn new(definitions: &str, is_complete: bool) -> Result<Self, String> {
        let options = FrontendOptions {
            // Types are written out in messages after the check.
            retain_full_type_graphs: true,
            run_lint_checks: true,
            module_time_limit_sec: Some(SECONDS),
            ..FrontendOptions::default()
        };
        let mut frontend = Frontend::new(Source::default(), NullConfigResolver::default(), options);
        let environment = DefinitionEnvironment::Globals;
        frontend.register_builtin_globals(environment).map_err(|error| error.to_string())?;
        let scope = frontend.global_scope(environment);
        let loaded = frontend
            .load_definition_file(scope, definitions, "@definitions", false)
            .map_err(|error| error.to_string())?;
        if loaded.success {
            return Ok(Self { frontend, is_complete });
        }
        let complaint = loaded
            .source_module
            .parse_errors
            .first()
            .map(|error| format!("line {}: {}", error.location.begin.line + 1, error.message));
        Err(complaint.unwrap_or_else(|| "a type in them is not known, or does not fit".to_owned()))
    }

    /// Everything that is found in `source`.
    pub(super) fn check(&mut self, source: &str) -> Analysis {
        let name = ModuleName::from(NAME);
        self.frontend.clear();
        self.frontend.file_resolver_mut().0 = BString::from(source);
        let Ok(checked) = self.frontend.check(&name, None) else { return Analysis::UNKNOWN };
        let mut findings = Vec::new();
        if let Some(model) = self.frontend.semantic_model(&name) {
            for error in checked.errors.iter().filter(|error| self.counts(&error.data)) {
                let is_syntax = matches!(error.data, TypeErrorData::SyntaxError(_));
                let kind = if is_syntax { Kind::Syntax } else { Kind::Type };
                let message = model.error_message(error).to_string();
                findings.push(finding(&error.location, kind, None, message));
            }
        }
        for warning in checked.lint_result.errors.iter().chain(&checked.lint_result.warnings) {
            let code = Some(format!("{:?}", warning.code));
            findings.push(finding(&warning.location, Kind::Lint, code, warning.text.to_string()));
        }
        Analysis { findings: bound(findings), is_known: checked.timeout_hits.is_empty() }
    }

    /// Whether an error speaks of the source, and not of what nobody told this frontend: other files, and types of a world that
    /// it knows in part.
    fn counts(&self, error: &TypeErrorData) -> bool {
        match error {
            TypeErrorData::UnknownRequire(_) => false,
            // The library keeps the context's type to itself, and so its name is asked.
            TypeErrorData::UnknownSymbol(symbol) => self.is_complete || format!("{:?}", symbol.context) != "Type",
            _ => true,
        }
    }
}

fn finding(location: &luau_syntax::location::Location, kind: Kind, code: Option<String>, message: String) -> Finding {
    let place = |number: u32| usize::try_from(number).map_or(usize::MAX, |number| number + 1);
    Finding { line: place(location.begin.line), column: place(location.begin.column), kind, code, message }
}
