//! How large a component may be, looked at before it is compiled.
//!
//! A compiler's time and memory grow with what it is given, and some of it is given in very few bytes: locals by their number, instances
//! of components within components that double at each level. What is refused here no toolchain makes; what passes compiles
//! in bounded time and memory. Bytes that cannot be read here are left to the compiler, which says better what is wrong with them.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, Instance,
    Parser, Payload,
};

/// Bytes of a component.
pub const MAX_BYTES: usize = 256 << 20;
/// Bytes of the code of one function. The largest of CPython has 427,000, that of SpiderMonkey 172,000.
pub const MAX_FUNCTION_BYTES: usize = 1 << 20;
/// Functions of all modules together.
pub const MAX_FUNCTIONS: usize = 250_000;
/// Segments of data and of tables of all modules together. A pre-initialised JavaScript component has 10,002.
pub const MAX_SEGMENTS: usize = 40_000;
/// Locals of all functions together.
pub const MAX_LOCALS: usize = 4_000_000;
/// Instances of modules and of components, each as often as it is made.
pub const MAX_INSTANCES: usize = 10_000;

/// A component that is too large to be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has {found} {what}; the limit is {limit}")]
pub struct TooLarge {
    what: &'static str,
    found: usize,
    limit: usize,
}

fn within(what: &'static str, found: usize, limit: usize) -> Result<(), TooLarge> {
    if found > limit { Err(TooLarge { what, found, limit }) } else { Ok(()) }
}

/// Checks the size of a component.
pub(super) fn check(bytes: &[u8]) -> Result<(), TooLarge> {
    within("bytes", bytes.len(), MAX_BYTES)?;
    let mut size = Size::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { return Ok(()) };
        size.add(payload)?;
    }
    Ok(())
}

#[derive(Default)]
struct Size {
    functions: usize,
    segments: usize,
    locals: usize,
    /// The modules and components that are being read, the innermost last.
    open: Vec<Scope>,
    /// The instances that the largest component seen so far makes: what a component of unknown origin is taken for.
    largest: usize,
}

/// A module or component.
#[derive(Default)]
struct Scope {
    is_component: bool,
    /// The instances that it makes, and that those make.
    instances: usize,
    /// What each component in its index space makes.
    components: Vec<usize>,
}

impl Size {
    fn add(&mut self, payload: Payload<'_>) -> Result<(), TooLarge> {
        match payload {
            Payload::Version { encoding, .. } => {
                let is_component = encoding == wasmparser::Encoding::Component;
                self.open.push(Scope { is_component, instances: 1, components: Vec::new() });
            }
            Payload::End(_) => self.end(),
            Payload::CodeSectionEntry(body) => {
                self.functions += 1;
                within("functions", self.functions, MAX_FUNCTIONS)?;
                let range = body.range();
                let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
                within("bytes of code in one function", length, MAX_FUNCTION_BYTES)?;
                if let Ok(locals) = body.get_locals_reader() {
                    for (count, _) in locals.into_iter().filter_map(Result::ok) {
                        self.locals = self.locals.saturating_add(count as usize);
                    }
                }
                within("locals in its functions", self.locals, MAX_LOCALS)?;
            }
            Payload::DataSection(section) => self.segments(section.count())?,
            Payload::ElementSection(section) => self.segments(section.count())?,
            Payload::InstanceSection(section) => {
                for instance in section.into_iter().filter_map(Result::ok) {
                    if let Instance::Instantiate { .. } = instance {
                        self.instantiate(1)?;
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.into_iter().filter_map(Result::ok) {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance {
                        let known = self.open.last().and_then(|scope| scope.components.get(component_index as usize));
                        self.instantiate(known.copied().unwrap_or(self.largest))?;
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.into_iter().filter_map(Result::ok) {
                    match alias {
                        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                            let scope =
                                self.open.len().checked_sub(1 + count as usize).and_then(|at| self.open.get(at));
                            let known = scope.and_then(|scope| scope.components.get(index as usize)).copied();
                            self.component(known.unwrap_or(self.largest));
                        }
                        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                            self.component(self.largest);
                        }
                        _ => {}
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.into_iter().filter_map(Result::ok) {
                    if let ComponentTypeRef::Component(_) = import.ty {
                        self.component(self.largest);
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.into_iter().filter_map(Result::ok) {
                    if export.kind == ComponentExternalKind::Component {
                        let known = self.open.last().and_then(|scope| scope.components.get(export.index as usize));
                        self.component(known.copied().unwrap_or(self.largest));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn segments(&mut self, more: u32) -> Result<(), TooLarge> {
        self.segments = self.segments.saturating_add(more as usize);
        within("segments of data and tables", self.segments, MAX_SEGMENTS)
    }

    /// Another component in the index space of the innermost one.
    fn component(&mut self, instances: usize) {
        if let Some(scope) = self.open.last_mut() {
            scope.components.push(instances);
        }
    }

    fn instantiate(&mut self, instances: usize) -> Result<(), TooLarge> {
        let Some(scope) = self.open.last_mut() else { return Ok(()) };
        scope.instances = scope.instances.saturating_add(instances.max(1));
        within("instances of modules and components in it", scope.instances, MAX_INSTANCES)
    }

    fn end(&mut self) {
        let Some(Scope { is_component: true, instances, .. }) = self.open.pop() else { return };
        self.largest = self.largest.max(instances);
        self.component(instances);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&'static str> {
        check(&wat::parse_str(text).unwrap()).err().map(|error| error.what)
    }

    /// Components within components, each of which makes two instances of the one in it.
    fn doubling(levels: usize) -> String {
        let mut text = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
        for level in 1..=levels {
            let inner = level - 1;
            text = format!(
                "(component $c{level} {text} (instance (instantiate $c{inner})) (instance (instantiate $c{inner})))"
            );
        }
        text
    }

    #[test]
    fn instances_that_double_at_each_level_are_counted_as_often_as_they_are_made() {
        assert_eq!(found(&doubling(8)), None);
        assert_eq!(found(&doubling(40)), Some("instances of modules and components in it"));
    }

    #[test]
    fn components_beside_each_other_that_double_are_counted_too() {
        let siblings: String = (1..40)
            .map(|n| {
                let alias = format!("(alias outer $top $c{} (component $d))", n - 1);
                format!("(component $c{n} {alias} (instance (instantiate $d)) (instance (instantiate $d)))")
            })
            .collect();
        let text = format!("(component $top (component $c0) {siblings})");
        assert_eq!(found(&text), Some("instances of modules and components in it"));
    }

    #[test]
    fn locals_are_counted_however_few_bytes_tell_of_them() {
        let function = format!("(func (local {}))", "i64 ".repeat(40_000));
        assert_eq!(found(&format!("(component (core module {}))", function.repeat(50))), None);
        assert_eq!(
            found(&format!("(component (core module {}))", function.repeat(101))),
            Some("locals in its functions")
        );
    }

    #[test]
    fn segments_of_all_modules_are_counted() {
        let module = format!("(core module (memory 1) {})", "(data (i32.const 0))".repeat(15_000));
        assert_eq!(found(&format!("(component {module} {module})")), None);
        assert_eq!(found(&format!("(component {module} {module} {module})")), Some("segments of data and tables"));
    }

    #[test]
    fn what_cannot_be_read_is_left_to_the_compiler() {
        assert_eq!(check(b"\0asm\x0d\0\x01\0\xff\xff"), Ok(()));
        assert_eq!(check(b""), Ok(()));
    }
}
