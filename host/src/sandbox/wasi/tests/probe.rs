//! A component made from WIT that calls each function of WASI: `call-N` calls the N-th one, with zero and empty arguments, and with
//! the resources that it is given itself.

use std::fmt::Write as _;

use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, Function as Body, FunctionSection, GlobalSection, GlobalType,
    ImportSection, Instruction, MemorySection, MemoryType, Module, TypeSection, ValType,
};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::abi::{AbiVariant, FlatTypes, WasmSignature, WasmType};
use wit_parser::{Function, Handle, Resolve, Type, TypeDefKind, TypeId, TypeOwner};

/// The newest version of WASI 0.2 that the texts here are of.
pub(super) const NEWEST: &str = "0.2.12";

const WIT: [(&str, &str); 8] = [
    ("io.wit", include_str!("wit/io.wit")),
    ("clocks.wit", include_str!("wit/clocks.wit")),
    ("random.wit", include_str!("wit/random.wit")),
    ("filesystem.wit", include_str!("wit/filesystem.wit")),
    ("sockets.wit", include_str!("wit/sockets.wit")),
    ("cli.wit", include_str!("wit/cli.wit")),
    ("http.wit", include_str!("wit/http.wit")),
    ("proposals.wit", include_str!("wit/proposals.wit")),
];

const CALLS: &str = "durawasm:probe/calls";

/// One function of WASI.
#[derive(Clone, Debug)]
pub(super) struct Called {
    /// Without the version.
    pub(super) interface: String,
    /// As the component names it: `[method]pollable.block`.
    pub(super) function: String,
    import: (String, String),
    signature: WasmSignature,
    parameters: Vec<Parameter>,
    /// The types of those resources.
    resources: Vec<TypeId>,
}

#[derive(Clone, Copy, Debug)]
enum Parameter {
    /// A resource that must be there.
    Resource,
    /// This many core values, which are zero.
    Zeroes(usize),
    /// A result with this many core values. It is an error, since its value would have to be a resource.
    Failure(usize),
}

/// A component, and what its exports call.
pub(super) struct Probe {
    pub(super) component: Vec<u8>,
    pub(super) calls: Vec<Called>,
}

impl Probe {
    /// All functions of WASI, imported in this version of 0.2.
    pub(super) fn new(version: &str) -> Self {
        let mut resolve = Resolve { all_features: true, ..Resolve::default() };
        for (name, text) in WIT {
            resolve.push_source(name, &text.replace(NEWEST, version)).unwrap();
        }
        let (calls, imports) = calls(&resolve);
        let package = resolve.push_source("probe.wit", &world(&resolve, &calls, &imports)).unwrap();
        let world = resolve.select_world(&[package], Some("probe")).unwrap();
        let mut module = module(&calls);
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        let component = ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap();
        Self { component, calls }
    }

    /// Of which interface the exports are.
    pub(super) fn exports() -> &'static str {
        CALLS
    }
}

/// All functions, and the interfaces that they are of.
fn calls(resolve: &Resolve) -> (Vec<Called>, Vec<String>) {
    let (mut calls, mut imports) = (Vec::new(), Vec::new());
    for (id, interface) in &resolve.interfaces {
        let import = resolve.id_of(id).unwrap();
        let name = import.split('@').next().unwrap().to_owned();
        for (function, definition) in &interface.functions {
            let signature = resolve.wasm_signature(AbiVariant::GuestImport, definition);
            let resources: Vec<_> = definition.params.iter().filter_map(|p| resource(resolve, &p.ty)).collect();
            assert!(
                !signature.indirect_params || resources.is_empty(),
                "{name}#{function} needs another kind of probe"
            );
            calls.push(Called {
                interface: name.clone(),
                function: function.clone(),
                import: (import.clone(), function.clone()),
                parameters: parameters(resolve, definition),
                signature,
                resources,
            });
        }
        imports.push(import);
    }
    (calls, imports)
}

fn parameters(resolve: &Resolve, function: &Function) -> Vec<Parameter> {
    let flat = |ty: &Type| {
        let mut storage = [WasmType::I32; 64];
        let mut types = FlatTypes::new(&mut storage);
        assert!(resolve.push_flat(ty, &mut types));
        types.to_vec().len()
    };
    let is_result = |ty: &Type| matches!(ty, Type::Id(id) if matches!(resolve.types[*id].kind, TypeDefKind::Result(_)));
    function
        .params
        .iter()
        .map(|parameter| match &parameter.ty {
            ty if resource(resolve, ty).is_some() => Parameter::Resource,
            ty if is_result(ty) => Parameter::Failure(flat(ty)),
            ty => Parameter::Zeroes(flat(ty)),
        })
        .collect()
}

/// The resource whose handle a parameter is.
fn resource(resolve: &Resolve, ty: &Type) -> Option<TypeId> {
    let Type::Id(id) = ty else { return None };
    match &resolve.types[*id].kind {
        TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => Some(origin(resolve, *id)),
        TypeDefKind::Type(ty) => resource(resolve, ty),
        _ => None,
    }
}

/// Where a resource is defined that others use.
fn origin(resolve: &Resolve, id: TypeId) -> TypeId {
    match &resolve.types[id].kind {
        TypeDefKind::Type(Type::Id(id)) => origin(resolve, *id),
        _ => id,
    }
}

/// The world: all interfaces, and one export a function.
fn world(resolve: &Resolve, calls: &[Called], imports: &[String]) -> String {
    let mut resources: Vec<TypeId> = calls.iter().flat_map(|call| call.resources.iter().copied()).collect();
    resources.sort();
    resources.dedup();
    let mut text = "package durawasm:probe;\n\ninterface calls {\n".to_owned();
    for (number, id) in resources.iter().enumerate() {
        let ty = &resolve.types[*id];
        let TypeOwner::Interface(owner) = ty.owner else { panic!("a resource is of an interface") };
        let (owner, name) = (resolve.id_of(owner).unwrap(), ty.name.as_ref().unwrap());
        writeln!(text, "  use {owner}.{{{name} as r{number}}};").unwrap();
    }
    for (number, call) in calls.iter().enumerate() {
        let parameters: Vec<_> = call
            .resources
            .iter()
            .enumerate()
            .map(|(index, id)| format!("p{index}: r{}", resources.iter().position(|other| other == id).unwrap()))
            .collect();
        writeln!(text, "  call-{number}: func({});", parameters.join(", ")).unwrap();
    }
    text.push_str("}\n\nworld probe {\n");
    for import in imports {
        writeln!(text, "  import {import};").unwrap();
    }
    text.push_str("  export calls;\n}\n");
    text
}

/// Where the zeroes are that a function reads when its parameters are passed in memory, and where it may write its result.
const ZEROES: i32 = 1_024;
const RESULT: i32 = 8_192;
/// Where `cabi_realloc` begins.
const HEAP: i32 = 65_536;
const PAGES: u64 = 64;

fn module(calls: &[Called]) -> Vec<u8> {
    let mut types = TypeSection::new();
    let mut imports = ImportSection::new();
    let mut functions = FunctionSection::new();
    let mut exports = ExportSection::new();
    let mut code = CodeSection::new();
    let count = u32::try_from(calls.len()).unwrap();
    for (index, call) in (0..count).zip(calls) {
        let value = |ty: &WasmType| match ty {
            WasmType::I64 | WasmType::PointerOrI64 => ValType::I64,
            WasmType::F32 => ValType::F32,
            WasmType::F64 => ValType::F64,
            WasmType::I32 | WasmType::Pointer | WasmType::Length => ValType::I32,
        };
        let parameters: Vec<_> = call.signature.params.iter().map(value).collect();
        let results: Vec<_> = call.signature.results.iter().map(value).collect();
        types.ty().function(parameters.iter().copied(), results.iter().copied());
        imports.import(&call.import.0, &call.import.1, EntityType::Function(index * 2));
        types.ty().function(vec![ValType::I32; call.resources.len()], []);
        functions.function(index * 2 + 1);
        exports.export(&format!("{CALLS}#call-{index}"), ExportKind::Func, count + index);
        code.function(&body(call, index, &parameters));
    }
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    functions.function(count * 2);
    exports.export("cabi_realloc", ExportKind::Func, count * 2);
    code.function(&realloc());
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum: PAGES, maximum: None, memory64: false, shared: false, page_size_log2: None });
    exports.export("memory", ExportKind::Memory, 0);
    let mut globals = GlobalSection::new();
    globals.global(
        GlobalType { val_type: ValType::I32, mutable: true, shared: false },
        &wasm_encoder::ConstExpr::i32_const(HEAP),
    );
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&memories).section(&globals);
    module.section(&exports).section(&code);
    module.finish()
}

fn body(call: &Called, import: u32, parameters: &[ValType]) -> Body {
    let mut body = Body::new([]);
    if call.signature.indirect_params {
        body.instruction(&Instruction::I32Const(ZEROES));
    } else {
        let (mut flat, mut resource) = (0, 0);
        for parameter in &call.parameters {
            match parameter {
                Parameter::Resource => {
                    body.instruction(&Instruction::LocalGet(resource));
                    resource += 1;
                    flat += 1;
                }
                Parameter::Zeroes(count) | Parameter::Failure(count) => {
                    for (index, ty) in parameters[flat..flat + count].iter().enumerate() {
                        let is_error = index == 0 && matches!(parameter, Parameter::Failure(_));
                        body.instruction(&if is_error { Instruction::I32Const(1) } else { zero(*ty) });
                    }
                    flat += count;
                }
            }
        }
    }
    if call.signature.retptr {
        body.instruction(&Instruction::I32Const(RESULT));
    }
    body.instruction(&Instruction::Call(import));
    for _ in &call.signature.results {
        body.instruction(&Instruction::Drop);
    }
    body.instruction(&Instruction::End);
    body
}

fn zero(ty: ValType) -> Instruction<'static> {
    match ty {
        ValType::I64 => Instruction::I64Const(0),
        ValType::F32 => Instruction::F32Const(0.0.into()),
        ValType::F64 => Instruction::F64Const(0.0.into()),
        _ => Instruction::I32Const(0),
    }
}

/// Memory is taken and never given back. What is asked for is rounded up so that everything stays aligned.
fn realloc() -> Body {
    let mut body = Body::new([]);
    for instruction in [
        Instruction::GlobalGet(0),
        Instruction::GlobalGet(0),
        Instruction::LocalGet(3),
        Instruction::I32Const(15),
        Instruction::I32Add,
        Instruction::I32Const(-16),
        Instruction::I32And,
        Instruction::I32Add,
        Instruction::GlobalSet(0),
        Instruction::End,
    ] {
        body.instruction(&instruction);
    }
    body
}
