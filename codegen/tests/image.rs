//! Images and the files that they are written to: that code runs from one as it lies there, that tools can read it, that nothing in it depends on chance.

mod common;

use common::{Instance, compiler, i32s};
use gimli::{BaseAddresses, EhFrame, EhFrameHdr, LittleEndian, UnwindSection};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Architecture, Endianness, Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind, elf};
use std::ops::Range;
use std::sync::Arc;
use wasmo_abi::artifact::{Content, Description, HEADER_OFFSET, HEADER_SIZE, Half, Header, Part};
use wasmo_abi::code::{ModuleCode, Thunks};
use wasmo_abi::index::{FuncIndex, MemoryIndex};
use wasmo_abi::module::ModuleInfo;
use wasmo_abi::tunables::{OptLevel, Tunables};
use wasmo_abi::vm::{EnterThunk, RawValue};
use wasmo_codegen::image::{self, File, LinkedImage};
use wasmo_codegen::{Compiler, Cpu, TargetOptions};

const LEVELS: [OptLevel; 2] = [OptLevel::None, OptLevel::Speed];

fn cross(triple: &str, threads: usize) -> Compiler {
    let target = TargetOptions { triple: Some(triple.to_owned()), cpu: Cpu::Baseline, threads };
    Compiler::new(Tunables::default(), target).expect("the target is known")
}

fn image_of(compiler: &Compiler, bytes: &[u8]) -> (ModuleInfo, LinkedImage) {
    let info = wasmo_codegen::parse(bytes).expect("the module is valid");
    let compiled = compiler.compile(&info, bytes, &()).expect("the module compiles");
    let image = compiler.image(&info, &compiled).expect("the module links");
    (info, image)
}

fn image_of_text(compiler: &Compiler, text: &str) -> (ModuleInfo, LinkedImage) {
    image_of(compiler, &wat::parse_str(text).expect("the text is well-formed"))
}

/// The file without contents of others.
fn file_of(info: &ModuleInfo, image: &LinkedImage) -> File {
    image::write(image, &[], &image.symbols(info)).expect("the file is small")
}

fn range(file: &File, part: Part) -> Range<usize> {
    let position = Part::ALL.iter().position(|&other| other == part).expect("all parts are listed");
    let (start, size) = file.parts[position];
    let (start, size) = (usize::try_from(start).expect("small"), usize::try_from(size).expect("small"));
    start..start + size
}

fn guest(name: &str) -> Vec<u8> {
    let path = format!("{}/../guests/built/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A file mapped as a loader maps it.
struct Mapping {
    address: *mut libc::c_void,
    size: usize,
}

// SAFETY: the mapping is only read.
unsafe impl Send for Mapping {}
// SAFETY: as for `Send`.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever uses its code keeps it.
        unsafe { libc::munmap(self.address, self.size) };
    }
}

/// Code as it lies in a file that is mapped: read-only, and the text alone executable.
fn load(file: &File, image: &LinkedImage) -> ModuleCode {
    let size = file.bytes.len();
    let text = range(file, Part::Text);
    // SAFETY: the descriptor and the mapping are new, the protection is changed for whole pages of it.
    let address = unsafe {
        let fd = libc::memfd_create(c"image".as_ptr(), 0);
        assert_eq!(libc::write(fd, file.bytes.as_ptr().cast(), size), isize::try_from(size).expect("small"));
        let address = libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ, libc::MAP_PRIVATE, fd, 0);
        assert_ne!(address, libc::MAP_FAILED);
        libc::close(fd);
        let code = address.byte_add(text.start);
        assert_eq!(libc::mprotect(code, text.len(), libc::PROT_READ | libc::PROT_EXEC), 0);
        address
    };
    let base = address as usize + text.start;
    let thunks = image.thunks.iter().map(|offsets| {
        // SAFETY: enter thunks have this signature.
        let enter = unsafe { std::mem::transmute::<usize, EnterThunk>(base + offsets.enter as usize) };
        (offsets.enter != u32::MAX).then(|| Thunks { enter, exit: base + offsets.exit as usize })
    });
    ModuleCode {
        entries: image.entries.clone(),
        base,
        thunks: thunks.collect(),
        units: Vec::new(),
        owner: Arc::new(Mapping { address, size }),
    }
}

/// Calls within a partition and between partitions, a switch, constants of 4, 8 and 16 bytes, a host function.
fn various(functions: usize) -> String {
    let padding =
        "(local.set 0 (i32.mul (i32.xor (local.get 0) (i32.const 0x12345678)) (i32.const 0x7654321)))".repeat(70);
    let mut text = r#"(module
        (import "" "" (func $host (param i32) (result i32)))
        (func $f0 (param i32) (result i32) (local.get 0))"#
        .to_owned();
    for index in 1..functions {
        text += &format!("(func $f{index} (param i32) (result i32) {padding} (call $f{} (local.get 0)))", index - 1);
    }
    text += &format!("(func (export \"far\") (param i32) (result i32) (call $f{} (local.get 0)))", functions - 1);
    text += r#"
        (func (export "switch") (param i32) (result i32)
            (block (block (block (block (block (block (br_table 0 1 2 3 4 5 (local.get 0)))
                (return (i32.const 100))) (return (i32.mul (local.get 0) (i32.const 77))))
                (return (call $host (i32.const 5)))) (return (i32.const -4))) (return (i32.rotl (local.get 0) (i32.const 9))))
            (i32.const 6))
        (func (export "float") (param f64) (result f64)
            (f64.add (f64.mul (local.get 0) (f64.const 1.1)) (f64.const 0.3)))
        (func (export "vector") (param v128) (result v128)
            (i8x16.shuffle 3 1 4 1 5 9 2 6 5 3 5 8 9 7 9 3 (local.get 0) (local.get 0))))"#;
    text
}

#[test]
fn code_runs_as_it_lies_in_the_file() {
    fn host(values: &mut [RawValue]) {
        values[0] = RawValue::from_u32(values[0].as_u32() + 1000);
    }
    let mut expected = 7_u32;
    for _ in 1..400 {
        for _ in 0..70 {
            expected = (expected ^ 0x1234_5678).wrapping_mul(0x765_4321);
        }
    }
    for opt_level in LEVELS {
        let compiler = compiler(Tunables { opt_level, ..Tunables::default() });
        let (info, image) = image_of_text(&compiler, &various(400));
        let code = load(&file_of(&info, &image), &image);
        // What runs does not need what made it.
        drop((compiler, image));
        let mut instance = Instance::new(info, code, &[host]);
        assert_eq!(instance.call("far", &i32s(&[7]))[0].as_u32(), expected);
        let results = [0, 1, 2, 3, 4, 5, 6].map(|value| instance.call("switch", &i32s(&[value]))[0].as_u32());
        assert_eq!(results, [100, 77, 1005, -4_i32 as u32, 4 << 9, 6, 6], "{opt_level:?}");
        let float = instance.call("float", &[RawValue::from_u64(2.5_f64.to_bits())])[0];
        assert_eq!(f64::from_bits(float.as_u64()), 2.5 * 1.1 + 0.3);
        let vector = instance.call("vector", &[RawValue::from_u128(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100)])[0];
        assert_eq!(vector.as_u128().to_le_bytes(), [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3]);
    }
}

/// What is true of every file.
fn check(info: &ModuleInfo, image: &LinkedImage, file: &File, architecture: Architecture) {
    let elf = ElfFile64::<Endianness>::parse(&*file.bytes).expect("it is an ELF file");
    assert_eq!((elf.architecture(), elf.kind()), (architecture, object::ObjectKind::Dynamic));
    assert!(elf.dynamic_relocations().is_none_or(|mut relocations| relocations.next().is_none()));
    for section in elf.sections() {
        assert!(section.relocations().next().is_none());
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { panic!("ELF has flags of ELF") };
        let flags = elf::SectionFlags(sh_flags.0);
        assert!(!flags.contains(elf::SHF_WRITE));
        if flags.contains(elf::SHF_ALLOC) {
            assert_eq!(section.file_range().expect("it has content").0, section.address());
        }
    }
    // The parts are where the sections of their names are, in their half.
    for part in Part::ALL {
        let range = range(file, part);
        let section = elf.section_by_name(part.section()).expect("every part is a section");
        let (start, size) = section.file_range().expect("it has content");
        assert_eq!((range.start as u64, range.len() as u64), (start, size), "{part:?}");
        let hot = 0..usize::try_from(file.hot_size).expect("small");
        match part.half() {
            Half::Hot => assert!(range.start >= HEADER_OFFSET + HEADER_SIZE && range.end <= hot.end),
            Half::Cold => assert!(range.start >= hot.end && range.end <= file.bytes.len()),
        }
    }
    let text = range(file, Part::Text);
    let page = usize::try_from(image.page_size()).expect("small");
    assert!(
        text.start.is_multiple_of(page) && (text.end..text.end.next_multiple_of(page)).all(|at| file.bytes[at] == 0)
    );
    for segment in elf.elf_program_headers() {
        let (offset, address) = (segment.p_offset(Endianness::Little), segment.p_vaddr(Endianness::Little));
        assert_eq!(offset, address);
        assert!(offset + segment.p_filesz(Endianness::Little) <= file.bytes.len() as u64);
    }
    // All code has a name, at the right place.
    let symbols: Vec<_> = elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text).collect();
    assert_eq!(symbols.len(), image.functions.len());
    for (symbol, function) in symbols.iter().zip(image.functions.iter()) {
        assert_eq!(symbol.address(), text.start as u64 + u64::from(function.offset));
        assert_eq!(symbol.size(), u64::from(function.size));
        assert!(!symbol.name().expect("a name").is_empty());
    }
    assert_eq!(image.entries.len(), info.bodies.len());
    assert!(image.functions.iter().is_sorted_by(|a, b| a.offset + a.size <= b.offset));
    assert!(image.wasm_offsets.iter().is_sorted_by_key(|row| row.code));
    for function in image.functions.iter().filter_map(|range| Some((range.offset, range.func?))) {
        let (offset, func) = function;
        assert_eq!(image.entries.get(info.defined_func(func).expect("it is defined")), Some(offset));
    }
    // Every function is found through the header of the call frame information.
    let (section, header) = (range(file, Part::EhFrame), range(file, Part::EhFrameHdr));
    let bases = BaseAddresses::default().set_eh_frame(section.start as u64).set_eh_frame_hdr(header.start as u64);
    let frames = EhFrame::new(&file.bytes[section], LittleEndian);
    let header = EhFrameHdr::new(&file.bytes[header], LittleEndian).parse(&bases, 8).expect("it is well-formed");
    if let Some(table) = header.table() {
        for function in image.functions.iter() {
            let address = text.start as u64 + u64::from(function.offset);
            let last = address + u64::from(function.size - 1);
            let found = table.fde_for_address(&frames, &bases, last, EhFrame::cie_from_offset);
            let found = found.expect("it is described");
            assert_eq!((found.initial_address(), found.len()), (address, u64::from(function.size)));
        }
    }
}

#[test]
fn files_are_as_tools_expect_them() {
    for (triple, architecture) in
        [("x86_64-unknown-linux-gnu", Architecture::X86_64), ("aarch64-unknown-linux-gnu", Architecture::Aarch64)]
    {
        let compiler = cross(triple, 2);
        for text in ["(module)", "(module (memory 1))", "(module (func))", &various(100)] {
            let (info, image) = image_of_text(&compiler, text);
            check(&info, &image, &file_of(&info, &image), architecture);
        }
        for name in ["crate-json", "kernel-matmul", "snapshot-stencil"] {
            let (info, image) = image_of(&compiler, &guest(name));
            check(&info, &image, &file_of(&info, &image), architecture);
        }
    }
}

#[test]
fn parts_of_others_are_kept_as_they_are() {
    let (info, image) = image_of_text(&compiler(Tunables::default()), "(module (func (export \"f\")))");
    let content = |part, bytes: &[u8]| Content { part, bytes: bytes.to_vec().into() };
    let contents = [
        content(Part::Images, &[1; 70_000]),
        content(Part::Description, b"description"),
        content(Part::NameText, b"names"),
    ];
    let file = image::write(&image, &contents, &[]).expect("the file is small");
    for content in &contents {
        assert_eq!(file.bytes[range(&file, content.part)], content.bytes[..]);
    }
    assert_eq!(file.bytes[range(&file, Part::Entries)], image.entries.bytes()[..]);
    assert!(range(&file, Part::Images).start.is_multiple_of(usize::try_from(image.page_size()).expect("small")));
    assert!(file.bytes[HEADER_OFFSET..][..HEADER_SIZE].iter().all(|&byte| byte == 0));
    // Without symbols there is no table of them.
    let elf = ElfFile64::<Endianness>::parse(&*file.bytes).expect("it is an ELF file");
    assert!(elf.symbols().next().is_none());
    let page = usize::try_from(image.page_size()).expect("small");
    assert!(file.bytes.len() < file_of(&info, &image).bytes.len() + 72_000 + 2 * page);
}

#[test]
fn images_of_memories_begin_at_the_largest_page_of_the_machine() {
    let text = format!(r#"(module (memory 2) (data (i32.const 66000) "{}"))"#, "content ".repeat(5000));
    let bytes = wat::parse_str(text).expect("the text is well-formed");
    for (triple, page, start) in
        [("x86_64-unknown-linux-gnu", 4096, 65_536), ("aarch64-unknown-linux-gnu", 65_536, 65_536)]
    {
        let compiler = cross(triple, 1);
        let info = wasmo_codegen::parse(&bytes).expect("the module is valid");
        let compiled = compiler.compile(&info, &bytes, &()).expect("the module compiles");
        let artifact = compiler.artifact(&info, &bytes, &compiled).expect("the module links");
        let header = Header::decode(&artifact).expect("it is an artefact");
        let part = |part: Part| artifact[header.part(part)].to_vec().into();
        let description = Description::from_parts(part, &part(Part::Description)).expect("its parts fit each other");
        let images = header.part(Part::Images);
        assert_eq!((images.start % page, images.len() % page), (0, 0), "{triple}");
        let [image] = &description.images[..] else { panic!("there is one memory: {:?}", description.images) };
        assert_eq!((image.memory, image.start, &image.bytes), (MemoryIndex(0), start, &(0..images.len())));
        let content = &artifact[images];
        assert!(content[464..].starts_with(b"content ") && content[..464].iter().all(|&byte| byte == 0));
        assert!(header.part(Part::Data).is_empty());
    }
}

#[test]
fn functions_are_called_as_the_module_calls_them() {
    let text = r#"(module
        (func $_ZN4core3fmt9Formatter3pad17h0123456789abcdefE)
        (func (export "exported") (param i32))
        (func $"a name" (export "other"))
        (func))"#;
    let bytes = wat::parse_str(text).expect("the text is well-formed");
    let (info, image) = image_of(&compiler(Tunables::default()), &bytes);
    let file = file_of(&info, &image);
    let elf = ElfFile64::<Endianness>::parse(&*file.bytes).expect("it is an ELF file");
    let mut names: Vec<_> = elf.symbols().filter_map(|symbol| symbol.name().ok()).collect();
    names.sort_unstable();
    let expected = [
        "a name",
        "core::fmt::Formatter::pad",
        "exported",
        "wasm_enter0",
        "wasm_enter1",
        "wasm_exit0",
        "wasm_exit1",
        "wasm_f3",
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_same_module_gives_the_same_file() {
    let text = various(300);
    for triple in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        let files = [1, 2, 4].map(|threads| {
            let (info, image) = image_of_text(&cross(triple, threads), &text);
            file_of(&info, &image).bytes
        });
        assert!(files.iter().all(|file| *file == files[0]), "{triple}");
    }
}

/// The instructions of a function.
fn instructions(file: &File, image: &LinkedImage, func: FuncIndex) -> Vec<(u32, u32)> {
    let function = image.functions.iter().find(|range| range.func == Some(func)).expect("it is in the image");
    let code = &file.bytes[range(file, Part::Text)][function.offset as usize..][..function.size as usize];
    let words = code.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
    (function.offset..).step_by(4).zip(words).collect()
}

/// The lowest `width` bits of `value` as a signed number.
fn signed(value: u32, width: u32) -> i64 {
    i64::from(value.cast_signed() << (32 - width) >> (32 - width))
}

#[test]
fn calls_on_aarch64_reach_their_functions() {
    let compiler = cross("aarch64-unknown-linux-gnu", 2);
    let (info, image) = image_of_text(&compiler, &various(300));
    let file = file_of(&info, &image);
    // Each function calls the one before it; some of those are in other partitions, and some were inlined.
    let mut calls = 0;
    for position in 1..300 {
        let code = instructions(&file, &image, FuncIndex(1 + position));
        // `bl` and `b`, when it leaves the function.
        let (first, last) = (code[0].0, code[code.len() - 1].0);
        for (at, word) in code {
            let (call, branch) = (word >> 26 == 0b10_0101, word >> 26 == 0b00_0101);
            if !call && !branch {
                continue;
            }
            let target = i64::from(at) + signed(word, 26) * 4;
            if branch && (i64::from(first)..=i64::from(last)).contains(&target) {
                continue;
            }
            let found = image.entries.iter().position(|entry| i64::from(entry) == target);
            let found = found.expect("a function begins there");
            assert!(found < position as usize, "function {position} calls {found}");
            calls += 1;
        }
    }
    assert!(calls > 10, "{calls} calls");
}

#[test]
fn constants_on_aarch64_are_found() {
    let text = r#"(module (func (export "f") (result v128) (v128.const i64x2 0x1234567890abcdef 0x0fedcba098765432)))"#;
    let compiler = cross("aarch64-unknown-linux-gnu", 1);
    let (info, image) = image_of_text(&compiler, text);
    let file = file_of(&info, &image);
    let start = range(&file, Part::Text).start;
    let code = instructions(&file, &image, FuncIndex(0));
    let (at, adrp) = *code.iter().find(|(_, word)| word & 0x9f00_0000 == 0x9000_0000).expect("an adrp");
    let pages = signed((adrp >> 5 & 0x7_ffff) << 2 | adrp >> 29 & 3, 21);
    let (_, ldr) = *code.iter().find(|(_, word)| word & 0xffc0_0000 == 0x3dc0_0000).expect("a load of 16 bytes");
    let page = ((start + at as usize) & !0xfff).checked_add_signed(isize::try_from(pages * 4096).expect("small"));
    let address = page.expect("it is in the file") + (ldr >> 10 & 0xfff) as usize * 16;
    assert!(range(&file, Part::Rodata).contains(&address));
    let constant = u128::from_le_bytes(file.bytes[address..][..16].try_into().expect("16 bytes"));
    assert_eq!(constant, 0x0fed_cba0_9876_5432_1234_5678_90ab_cdef);
}
