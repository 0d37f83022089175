//! What the analysis knows of the world around a source: a definitions file that somebody names, or Roblox's classes as far as rbx-dom's
//! reflection database knows them.
//!
//! The database has every class with its properties and every enumeration with its items, and neither methods nor events. So a property's
//! type is held to where it is a number, a text or a truth value; an enumeration has the items that it has; and every other member of a
//! class may be anything.

use rbx_reflection::{ClassDescriptor, DataType, ReflectionDatabase, Scriptability};
use rbx_types::VariantType;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, LazyLock};

/// Bytes of a definitions file. luau-lsp's has half a megabyte.
pub(super) const DEFINITIONS_BYTES_MAX: usize = 16 << 20;

/// Roblox's globals that no class describes: they may be used in every way.
const GLOBALS: &str = "\
    task script shared plugin warn tick time wait Wait spawn Spawn delay Delay elapsedTime ElapsedTime version Version settings stats \
    UserSettings printidentity PluginManager DebuggerManager Axes BrickColor CatalogSearchParams CFrame Color3 ColorSequence \
    ColorSequenceKeypoint Content DateTime DockWidgetPluginGuiInfo Faces FloatCurveKey Font NumberRange NumberSequence \
    NumberSequenceKeypoint OverlapParams Path2DControlPoint PathWaypoint PhysicalProperties Random Ray RaycastParams Rect Region3 \
    Region3int16 RotationCurveKey Secret SharedTable TweenInfo UDim UDim2 ValueCurveKey Vector2 Vector2int16 Vector3 Vector3int16";

/// Roblox's types that are no classes.
const TYPES: &str = "\
    Axes BrickColor CatalogSearchParams CFrame Color3 ColorSequence ColorSequenceKeypoint Content ContentId DateTime \
    DockWidgetPluginGuiInfo EnumItem Faces FloatCurveKey Font NumberRange NumberSequence NumberSequenceKeypoint OverlapParams \
    Path2DControlPoint PathWaypoint PhysicalProperties ProtectedString RBXScriptConnection RBXScriptSignal Random Ray RaycastParams \
    RaycastResult Rect Region3 Region3int16 RotationCurveKey Secret SharedTable TweenInfo UDim UDim2 ValueCurveKey Vector2 Vector2int16 \
    Vector3 Vector3int16";

/// Words that Luau keeps for itself, and that no declaration can name.
const KEPT_WORDS: [&str; 21] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
    "repeat", "return", "then", "true", "until", "while",
];

/// Where the knowledge of the world comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definitions {
    /// rbx-dom's reflection database, as it was when this was built. What it does not know is no error.
    Builtin,
    /// The text of a definitions file, as luau-lsp's `globalTypes.d.luau`. It is taken to be complete.
    File(String),
}

/// What is wrong with a definitions file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionsError {
    /// Too long.
    #[error("the definitions have {0} bytes, and at most {DEFINITIONS_BYTES_MAX} are read")]
    TooLong(usize),
    /// No definitions, in Luau's words.
    #[error("the definitions are not taken: {0}")]
    Broken(String),
}

impl Definitions {
    pub(super) fn text(&self) -> Result<Arc<str>, DefinitionsError> {
        static BUILTIN: LazyLock<Arc<str>> = LazyLock::new(|| write(rbx_reflection_database::get_bundled()).into());
        match self {
            Self::Builtin => Ok(BUILTIN.clone()),
            Self::File(text) if text.len() > DEFINITIONS_BYTES_MAX => Err(DefinitionsError::TooLong(text.len())),
            Self::File(text) => Ok(text.as_str().into()),
        }
    }

    /// Whether what they do not name is not there.
    pub(super) fn are_complete(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// The database as a definitions file.
fn write(database: &ReflectionDatabase) -> String {
    let mut text = String::new();
    for name in TYPES.split_whitespace() {
        line(&mut text, format_args!("export type {name} = any"));
    }
    // A class can only extend one that stands before it.
    let mut classes: Vec<(usize, &ClassDescriptor)> =
        database.classes.values().map(|class| (depth(database, class), class)).collect();
    classes.sort_by_key(|(depth, class)| (*depth, class.name));
    for (_, class) in classes {
        write_class(&mut text, class);
    }
    let enums: BTreeMap<_, _> = database.enums.iter().collect();
    line(&mut text, format_args!("declare Enum: {{"));
    for (name, described) in enums {
        let mut items: Vec<&str> = described.items.keys().copied().filter(|item| is_name(item)).collect();
        items.sort_unstable();
        let items: String = items.iter().map(|item| format!("{item}: EnumItem, ")).collect();
        line(&mut text, format_args!("{name}: {{ {items}GetEnumItems: any, FromName: any, FromValue: any }},"));
    }
    line(&mut text, format_args!("[string]: any }}"));
    line(&mut text, format_args!("declare Instance: {{ new: (string, Instance?) -> any, [string]: any }}"));
    line(&mut text, format_args!("declare game: DataModel\ndeclare Game: DataModel"));
    line(&mut text, format_args!("declare workspace: Workspace\ndeclare Workspace: Workspace"));
    for name in GLOBALS.split_whitespace() {
        line(&mut text, format_args!("declare {name}: any"));
    }
    text
}

/// One class. The indexer stands for methods, events, children and whatever is newer than the database.
fn write_class(text: &mut String, class: &ClassDescriptor) {
    let extends = class.superclass.map(|parent| format!(" extends {parent}")).unwrap_or_default();
    line(text, format_args!("declare extern type {}{extends} with", class.name));
    let mut properties: Vec<_> = class.properties.values().collect();
    properties.sort_by_key(|property| property.name);
    for property in properties {
        let is_seen = !matches!(property.scriptability, Scriptability::None) && is_name(property.name);
        if let Some(kind) = plain(&property.data_type).filter(|_| is_seen) {
            line(text, format_args!("{}: {kind}", property.name));
        }
    }
    line(text, format_args!("[string]: any\nend"));
}

/// Luau's type of a property where a value of another type is an error in Roblox too.
fn plain(kind: &DataType) -> Option<&'static str> {
    match kind {
        DataType::Value(VariantType::Bool) => Some("boolean"),
        DataType::Value(VariantType::Float32 | VariantType::Float64 | VariantType::Int32 | VariantType::Int64) => {
            Some("number")
        }
        // Numbers are written into texts without a word, so a text takes anything.
        _ => None,
    }
}

/// Classes above this one.
fn depth(database: &ReflectionDatabase, class: &ClassDescriptor) -> usize {
    database.superclasses(class).map_or(0, |above| above.len())
}

/// Whether Luau can write it after a dot.
fn is_name(text: &str) -> bool {
    let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_word && !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && !KEPT_WORDS.contains(&text)
}

fn line(text: &mut String, line: std::fmt::Arguments) {
    // A string takes whatever is written to it.
    let _ = writeln!(text, "{line}");
}
