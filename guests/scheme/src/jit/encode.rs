//! Writes WebAssembly modules: numbers in LEB128, sections, instructions. It knows nothing of Scheme.
//!
//! [`Code`] is the body of one function; [`Module`] collects types and functions and puts the sections
//! together. A module from here imports a memory and a table from `env`, exports nothing, has no data, and keeps all of its
//! functions but the last in a passive element segment; the last one is its start function.

use std::collections::HashMap;

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Type {
    I32 = 0x7f,
    I64 = 0x7e,
}

/// The type of a function: parameters and results.
pub type Signature = (Vec<Type>, Vec<Type>);

/// The index of a local variable: first the parameters, then what [`Module::define`] declares.
pub type Local = u32;

/// Appends `number` as unsigned LEB128.
fn unsigned(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

/// Appends `number` as signed LEB128.
fn signed(bytes: &mut Vec<u8>, mut number: i64) {
    loop {
        let low = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        // The last byte's second highest bit is the sign.
        if number == -i64::from(low >> 6) {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    unsigned(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

/// Instructions without immediates, by opcode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Plain {
    Unreachable = 0x00,
    Else = 0x05,
    End = 0x0b,
    Return = 0x0f,
    I32Eqz = 0x45,
    I32Eq = 0x46,
    I32Ne = 0x47,
    I32GtU = 0x4b,
    I64Eqz = 0x50,
    I64Eq = 0x51,
    I64Ne = 0x52,
    I64LtS = 0x53,
    I64GtS = 0x55,
    I64LeS = 0x57,
    I64GeS = 0x59,
    I64GeU = 0x5a,
    I32Add = 0x6a,
    I32Sub = 0x6b,
    I32Mul = 0x6c,
    I32And = 0x71,
    I32Or = 0x72,
    I64Add = 0x7c,
    I64Sub = 0x7d,
    I64Mul = 0x7e,
    I64DivS = 0x7f,
    I64RemS = 0x81,
    I64And = 0x83,
    I64Or = 0x84,
    I64Xor = 0x85,
    I64Shl = 0x86,
    I64ShrS = 0x87,
    I32WrapI64 = 0xa7,
    I64ExtendI32U = 0xad,
    I64Extend32S = 0xc4,
}

/// The body of a function.
#[derive(Default)]
pub struct Code {
    bytes: Vec<u8>,
    /// How many blocks are open.
    depth: u32,
}

impl Code {
    /// An instruction without immediates.
    pub fn op(&mut self, op: Plain) -> &mut Self {
        if op == Plain::End {
            self.depth -= 1;
        }
        self.bytes.push(op as u8);
        self
    }

    /// How many blocks are open; a branch out of all of them has this label.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    fn open(&mut self, opcode: u8, result: u8) -> &mut Self {
        self.depth += 1;
        self.bytes.extend_from_slice(&[opcode, result]);
        self
    }

    /// A block without a result.
    pub fn block(&mut self) -> &mut Self {
        self.open(0x02, 0x40)
    }

    /// A loop without a result.
    pub fn repeat(&mut self) -> &mut Self {
        self.open(0x03, 0x40)
    }

    /// What runs when the `i32` on the stack is not zero; without a result.
    pub fn when(&mut self) -> &mut Self {
        self.open(0x04, 0x40)
    }

    /// The same with a result of this type, which needs an [`Plain::Else`].
    pub fn when_value(&mut self, result: Type) -> &mut Self {
        self.open(0x04, result as u8)
    }

    /// Branches to the end of the block (or the start of the loop) outside of `label` others.
    pub fn br(&mut self, label: u32) -> &mut Self {
        self.with_index(0x0c, label)
    }

    /// Does so when the `i32` on the stack is not zero.
    pub fn br_if(&mut self, label: u32) -> &mut Self {
        self.with_index(0x0d, label)
    }

    fn with_index(&mut self, opcode: u8, index: u32) -> &mut Self {
        self.bytes.push(opcode);
        unsigned(&mut self.bytes, index.into());
        self
    }

    /// Pushes a local variable.
    pub fn get(&mut self, local: Local) -> &mut Self {
        self.with_index(0x20, local)
    }

    /// Pops into a local variable.
    pub fn set(&mut self, local: Local) -> &mut Self {
        self.with_index(0x21, local)
    }

    /// Copies the top of the stack to a local variable.
    pub fn tee(&mut self, local: Local) -> &mut Self {
        self.with_index(0x22, local)
    }

    /// Pushes an `i32`, an address for example.
    pub fn i32(&mut self, number: u32) -> &mut Self {
        self.bytes.push(0x41);
        signed(&mut self.bytes, number.cast_signed().into());
        self
    }

    /// Pushes an `i64`.
    pub fn i64(&mut self, number: u64) -> &mut Self {
        self.bytes.push(0x42);
        signed(&mut self.bytes, number.cast_signed());
        self
    }

    fn access(&mut self, opcode: u8, align: u8, offset: u32) -> &mut Self {
        self.bytes.extend_from_slice(&[opcode, align]);
        unsigned(&mut self.bytes, offset.into());
        self
    }

    /// Replaces an address by the `i32` at `offset` from it.
    pub fn load32(&mut self, offset: u32) -> &mut Self {
        self.access(0x28, 2, offset)
    }

    /// The same with a byte.
    pub fn load8(&mut self, offset: u32) -> &mut Self {
        self.access(0x2d, 0, offset)
    }

    /// The same with an `i64`.
    pub fn load64(&mut self, offset: u32) -> &mut Self {
        self.access(0x29, 3, offset)
    }

    /// Pops an `i32` and an address below it, and stores.
    pub fn store32(&mut self, offset: u32) -> &mut Self {
        self.access(0x36, 2, offset)
    }

    /// The same with an `i64`.
    pub fn store64(&mut self, offset: u32) -> &mut Self {
        self.access(0x37, 3, offset)
    }

    /// Calls function `index`.
    pub fn call(&mut self, index: u32) -> &mut Self {
        self.with_index(0x10, index)
    }

    /// Calls the function of type `ty` whose place in the table is on the stack.
    pub fn call_indirect(&mut self, ty: u32) -> &mut Self {
        self.with_index(0x11, ty);
        self.bytes.push(0);
        self
    }

    /// Calls function `index` in place of this one.
    pub fn return_call(&mut self, index: u32) -> &mut Self {
        self.with_index(0x12, index)
    }

    /// Calls through the table in place of this function.
    pub fn return_call_indirect(&mut self, ty: u32) -> &mut Self {
        self.with_index(0x13, ty);
        self.bytes.push(0);
        self
    }

    /// Grows the table by the number on the stack, filled with the reference below it; pushes its old size or -1.
    pub fn table_grow(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&[0xfc, 15, 0]);
        self
    }

    /// Copies from the module's element segment to the table: where to, where from, how many.
    pub fn table_init(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&[0xfc, 12, 0, 0]);
        self
    }

    /// Gives up the element segment.
    pub fn elem_drop(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&[0xfc, 13, 0]);
        self
    }

    /// Pushes a null function reference.
    pub fn ref_null(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&[0xd0, 0x70]);
        self
    }
}

/// A finished function.
struct Function {
    name: String,
    ty: u32,
    body: Vec<u8>,
}

/// A module under construction.
#[derive(Default)]
pub struct Module {
    types: Vec<Signature>,
    indices: HashMap<Signature, u32>,
    functions: Vec<Function>,
}

impl Module {
    /// The index of a type; equal types have equal indices.
    pub fn signature(&mut self, params: &[Type], results: &[Type]) -> u32 {
        let signature = (params.to_vec(), results.to_vec());
        let next = count(self.types.len());
        *self.indices.entry(signature).or_insert_with_key(|key| {
            self.types.push(key.clone());
            next
        })
    }

    /// Adds the next function. `locals` are its variables beyond the parameters, in runs of one type.
    pub fn define(&mut self, name: String, ty: u32, locals: &[(u32, Type)], mut code: Code) {
        code.bytes.push(Plain::End as u8);
        let mut declared = Vec::new();
        unsigned(&mut declared, locals.len() as u64);
        for &(length, ty) in locals {
            unsigned(&mut declared, length.into());
            declared.push(ty as u8);
        }
        declared.append(&mut code.bytes);
        self.functions.push(Function { name, ty, body: declared });
    }

    /// The module, whose start function is the last one added.
    pub fn finish(self) -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        let start = count(self.functions.len()).saturating_sub(1);
        section(&mut module, 1, |bytes| {
            unsigned(bytes, self.types.len() as u64);
            for (params, results) in &self.types {
                bytes.push(0x60);
                for types in [params, results] {
                    unsigned(bytes, types.len() as u64);
                    bytes.extend(types.iter().map(|&ty| ty as u8));
                }
            }
        });
        section(&mut module, 2, |bytes| {
            unsigned(bytes, 2);
            string(bytes, "env");
            string(bytes, "memory");
            bytes.extend_from_slice(&[2, 0, 0]);
            string(bytes, "env");
            string(bytes, "__indirect_function_table");
            bytes.extend_from_slice(&[1, 0x70, 0, 0]);
        });
        section(&mut module, 3, |bytes| {
            unsigned(bytes, self.functions.len() as u64);
            self.functions.iter().for_each(|function| unsigned(bytes, function.ty.into()));
        });
        section(&mut module, 8, |bytes| unsigned(bytes, start.into()));
        section(&mut module, 9, |bytes| {
            // One passive segment of function indices.
            bytes.extend_from_slice(&[1, 1, 0]);
            unsigned(bytes, start.into());
            (0..start).for_each(|index| unsigned(bytes, index.into()));
        });
        section(&mut module, 10, |bytes| {
            unsigned(bytes, self.functions.len() as u64);
            for function in &self.functions {
                unsigned(bytes, function.body.len() as u64);
                bytes.extend_from_slice(&function.body);
            }
        });
        section(&mut module, 0, |bytes| {
            string(bytes, "name");
            let mut names = Vec::new();
            unsigned(&mut names, self.functions.len() as u64);
            for (index, function) in self.functions.iter().enumerate() {
                unsigned(&mut names, index as u64);
                string(&mut names, &function.name);
            }
            bytes.push(1);
            unsigned(bytes, names.len() as u64);
            bytes.append(&mut names);
        });
        module
    }
}

fn section(module: &mut Vec<u8>, id: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = Vec::new();
    write(&mut bytes);
    module.push(id);
    unsigned(module, bytes.len() as u64);
    module.append(&mut bytes);
}

/// A number of things in a module, which all fit memory.
fn count(length: usize) -> u32 {
    u32::try_from(length).expect("a module has fewer things than a memory has bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leb128() {
        let check = |write: &dyn Fn(&mut Vec<u8>), expected: &[u8]| {
            let mut bytes = Vec::new();
            write(&mut bytes);
            assert_eq!(bytes, expected);
        };
        check(&|bytes| unsigned(bytes, 0), &[0]);
        check(&|bytes| unsigned(bytes, 127), &[0x7f]);
        check(&|bytes| unsigned(bytes, 624_485), &[0xe5, 0x8e, 0x26]);
        check(&|bytes| signed(bytes, 63), &[0x3f]);
        check(&|bytes| signed(bytes, 64), &[0xc0, 0]);
        check(&|bytes| signed(bytes, -64), &[0x40]);
        check(&|bytes| signed(bytes, -123_456), &[0xc0, 0xbb, 0x78]);
        check(&|bytes| signed(bytes, i64::MIN), &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f]);
    }

    #[test]
    fn equal_types_are_one() {
        let mut module = Module::default();
        assert_eq!(module.signature(&[Type::I32], &[]), 0);
        assert_eq!(module.signature(&[Type::I64], &[]), 1);
        assert_eq!(module.signature(&[Type::I32], &[]), 0);
    }
}
