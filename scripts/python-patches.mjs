// Mends Brython's own texts where a script that runs after it cannot reach: inside its functions, and in the modules of
// its standard library. A text that is to be replaced has to be there exactly once, which the pinned version ensures: a
// new version of Brython asks for each of these again.
//
// What can be mended from outside is in crates/gears-v8/src/py/mends_*.js.

import { readFileSync, readdirSync } from "node:fs";

/** Each: [where, what is there, what takes its place]. The comment above says what was wrong. */
const PATCHES = [
    // An object that is not hashable showed itself, not its type.
    ["brython.js", `"unhashable type: '"+\n_b_.str.$factory($B.jsobj2pyobj(obj))+"'"`, `"unhashable type: '"+$B.class_name(obj)+"'"`],
    // Items with the same hash replaced each other in sets.
    ["brython.js", `stored=so.$store[hash]=[]\nstored[stored.length]=item`, `stored=so.$store[hash]??=[]\nstored[stored.length]=item`],
    // Errors of JavaScript (a stack that is too deep) reached `except ... as` as JavaScript's objects.
    ["brython.js", "prefix+`$B.set_exc_and_trace(frame, ${err})\\n`\nif(has_else){js+=prefix+`failed${id} = true\\n`}\nvar first=true", "prefix+`${err} = $B.exception(${err})\\n`+prefix+`$B.set_exc_and_trace(frame, ${err})\\n`\nif(has_else){js+=prefix+`failed${id} = true\\n`}\nvar first=true"],
    // `except*` gave its body each exception in turn, with the name of all.
    ["brython.js", "js+=prefix+'for (var err of matching.excs) {\\n'\nindent()\nif(handler.name){bind(handler.name,scopes)\nvar mangled=mangle(scopes,try_scope,handler.name)\njs+=prefix+`locals.${mangled} = ${err}\\n`}", "js+=prefix+'for (var err of [matching]) {\\n'\nindent()\nif(handler.name){bind(handler.name,scopes)\nvar mangled=mangle(scopes,try_scope,handler.name)\njs+=prefix+`locals.${mangled} = err\\n`}"],
    // `raise` kept an exception as the context of itself, and forgot the one that a handler is busy with.
    ["brython.js", `arg=$B.EXC(_b_.RuntimeError,"generator raised StopIteration")}\narg.__context__=active_exc===undefined ? _b_.None :active_exc`, `arg=$B.EXC(_b_.RuntimeError,"generator raised StopIteration")}\nif(active_exc !==undefined && active_exc !==arg){arg.__context__=active_exc}`],
    // Unary operators raised AttributeError where there is no such operator.
    ["brython.js", "return `$B.$call($B.$getattr($B.get_class(locals.$result = ${operand}), '${method}'), locals.$result)`}", "return `$B.unary_op(${operand}, '${method}')`}"],
    // Formats inside f-strings went through str.format, which reads braces and conversions in them.
    ["brython.js", "value=`$B.$call($B.$getattr(_b_.str, 'format'), '{0:' + `+\n$B.js_from_ast(this.format_spec,scopes)+\n` + '}', ${value})`", "value=`_b_.format(${value}, `+\n$B.js_from_ast(this.format_spec,scopes)+\n`)`"],
    // Membership in a range: division of BigInts towards zero found what is outside.
    ["brython.js", "dict_funcs.__reversed__=function(self){return dict_reversekeyiterator.$factory(self)}", "dict_funcs.__reversed__=function(self){return{ob_type:$B.dict_reversekeyiterator,it:dict.$iter_items_reversed(self),dict_obj:self}}"],
    // Messages that say what is wrong, as CPython words them.
    ["brython.js", "\"pop index out of range\"", "self.length==0 && res===undefined ? \"pop from empty list\" : \"pop index out of range\""],
    ["brython.js", "_b_.str.$factory($.x)+\" is not in list\")}", "\"list.remove(x): x not in list\")}"],
    ["brython.js", "\"Can't multiply sequence by non-int of type '\"", "\"can't multiply sequence by non-int of type '\""],
    ["brython.js", "\"range arg 3 must not be zero\"", "\"range() arg 3 must not be zero\""],
    ["brython.js", "\"bytes must be in range (0, 256)\"", "\"bytes must be in range(0, 256)\""],
    ["brython.js", "\"invalid base\")}}", "\"int() base must be >= 2 and <= 36, or 0\")}}"],
    ["brython.js", "`(expected ${has_starred ? ' at least ' : ''} `+", "`(expected ${has_starred ? 'at least ' : ''}`+"],
    ["brython.js", "`(expected ${left_length}, got ${right_length})`)\nthrow exc}\nt.index", "`(expected ${left_length})`)\nthrow exc}\nt.index"],
    ["brython.js", "if(y_num==0){$B.RAISE(_b_.ZeroDivisionError,\"division by zero\")}\nz=x_num/y_num", "if(y_num==0){$B.RAISE(_b_.ZeroDivisionError,res_is_int ? \"division by zero\":\"float division by zero\")}\nz=x_num/y_num"],
    ["brython.js", "$B.RAISE(_b_.TypeError,`unsupported operand type(s) for ${$B.method_to_op[op]}:`+", "if(op=='__add__' &&(typeof x=='string' ||$B.is_list(x)||$B.is_tuple(x))){$B.RAISE(_b_.TypeError,`can only concatenate ${$B.class_name(x)} (not \"${$B.class_name(y)}\") to ${$B.class_name(x)}`)}\n$B.RAISE(_b_.TypeError,`unsupported operand type(s) for ${$B.method_to_op[op]}:`+"],
    ["brython.js", "has no len() VVV", "has no len()"],
    // CPython names a function by where it is defined.
    ["brython.js", "var name=infos[$B.func_attrs.__name__]\nvar arg_names=infos", "var name=infos[$B.func_attrs.__qualname__]\nvar arg_names=infos"],
    // `C['RED']` of an enumeration: the class of a class may have `__getitem__`.
    ["brython.js", "if($B.is_type(obj)){if(! Array.isArray(item)){item=$B.fast_tuple([item])}\nif(obj===_b_.type)", "if($B.is_type(obj)&& $B.get_class(obj)!==_b_.type){var meta_gi=$B.search_in_mro($B.get_class(obj),\"__getitem__\",$B.NULL)\nif(meta_gi !==$B.NULL){return $B.$call(meta_gi,obj,item)}}\nif($B.is_type(obj)){if(! Array.isArray(item)){item=$B.fast_tuple([item])}\nif(obj===_b_.type)"],
    // `iter(function, sentinel)` was no generator, as the callers want it.
    ["brython.js", "callable_iterator.tp_iternext=function(self){var res=$B.$call(self.func)\nif($B.rich_comp(\"__eq__\",res,self.sentinel)){$B.RAISE(_b_.StopIteration)}\nreturn res}", "callable_iterator.tp_iternext=function*(self){while(true){var res=$B.$call(self.func)\nif($B.rich_comp(\"__eq__\",res,self.sentinel)){return}\nyield res}}"],
    // Sequences without `__len__` can be walked too, until IndexError.
    ["brython.js", "if(getitem_func !==$B.NULL && len_func !==$B.NULL){var it", "if(getitem_func !==$B.NULL){var it"],
    ["brython.js", "self.len=$B.search_in_mro(ob_type,'__len__')(self.it_seq)\nself.getitem=$B.search_in_mro(ob_type,'__getitem__')", "self.getitem=$B.$getattr(ob_type,'__getitem__')"],
    ["brython.js", "$B.iterator.tp_iternext=function*(self){if(self.it_index < self.len){var res=self.getitem(self.it_seq,self.it_index)\nself.it_index++\nyield res}}", "$B.iterator.tp_iternext=function*(self){while(true){var res\ntry{res=$B.$call(self.getitem,self.it_seq,self.it_index)}catch(err){if($B.is_exc(err,[_b_.IndexError,_b_.StopIteration])){return}\nthrow err}\nself.it_index++\nyield res}}"],
    // Texts are sorted by code points.
    ["brython.js", "if(func===_b_.None && self.$cl===_b_.str){if(reverse){cmp=function(b,a){return $B.$AlphabeticalCompare(a,b)}}else{\ncmp=function(a,b){return $B.$AlphabeticalCompare(a,b)}}}", "if(func===_b_.None && self.$cl===_b_.str){if(reverse){cmp=function(b,a){return $B.mend.compare_texts(a,b)}}else{\ncmp=function(a,b){return $B.mend.compare_texts(a,b)}}}"],
    // Sorting only asks for `<`.
    ["brython.js", "function basic_cmp(a,b){return $B.rich_comp(\"__lt__\",a,b)?-1:\n$B.rich_comp('__eq__',a,b)? 0 :1}", "function basic_cmp(a,b){return $B.rich_comp(\"__lt__\",a,b)?-1:\n$B.rich_comp('__lt__',b,a)? 1 :0}"],
    // `math.lcm` called what is no function.
    ["math", "a = $B.$getattr(product, \"__floordiv__\")(gcd)", "a = $B.rich_op('__floordiv__', product, gcd)"],
    // `super()` looks the class up by its name.
    ["_pydatetime", "del IsoCalendarDate", ""],
    // There is no `crypto` inside a server.
    ["_random", "crypto.getRandomValues(entries)", "for(let i=0;i < N;i++){entries[i]=Math.random()*4294967296}"],
    ["posix", "crypto.getRandomValues(randbytes);", "$B.RAISE(_b_.NotImplementedError, 'there is no source of random numbers for secrets here')"],
    ["sys", "from browser import scope", ""],
    // `platform` asks the browser.
    ["uuid", "import platform\n _platform_system=platform.system()", "_platform_system=''"],
    ["uuid", "int_uuid_4=int.from_bytes(os.urandom(16))", "import random\n int_uuid_4=random.getrandbits(128)"],
    // Whole numbers of any size are sorted together.
    ["brython.js", "self.$cl===_b_.int){if(reverse){cmp=function(b,a){return a-b}}else{\ncmp=function(a,b){return a-b}}}", "self.$cl===_b_.int){if(reverse){cmp=function(b,a){return a < b ?-1:a > b ? 1:0}}else{\ncmp=function(a,b){return a < b ?-1:a > b ? 1:0}}}"],
    // `float.hex` of zero.
    ["brython.js", "return Object.is(self.value,0)? \"0x0.0p0\" :\"-0x0.0p0\"", "return Object.is(self.value,0)? \"0x0.0p+0\" :\"-0x0.0p+0\""],
    // `float` of a text with characters beyond U+FFFF.
    ["brython.js", "var original_value=value\nif(typeof value==\"number\"){return fast_float(value)}", "if(value instanceof String){value=value.valueOf()}\nvar original_value=value\nif(typeof value==\"number\"){return fast_float(value)}"],
    // `f'{x=!s}'` showed the text that follows it.
    ["brython.js", "debug_metadata=conversion.metadata}else if(format){debug_end_line=format.result.lineno\ndebug_end_offset=format.result.col_offset+1\ndebug_metadata=format.metadata}else{", "debug_metadata=conversion.metadata\nfor(var depth=0,at=debug_metadata.length-1;at >=0;at--){if(')]}'.includes(debug_metadata[at])){depth++}else if('([{'.includes(debug_metadata[at])&& depth--==0){debug_metadata=debug_metadata.slice(at+1)\nbreak}}}else if(format){debug_end_line=format.result.lineno\ndebug_end_offset=format.result.col_offset+1\ndebug_metadata=format.metadata}else{"],
    // Unpacking says what cannot be unpacked, and how many values it needs.
    ["brython.js", "var t=_b_.list.$factory(obj),right_length=t.length,left_length", "if($B.$getattr($B.get_class(obj),'__iter__',$B.NULL)===$B.NULL && $B.$getattr($B.get_class(obj),'__getitem__',$B.NULL)===$B.NULL){$B.set_inum(inum)\n$B.RAISE(_b_.TypeError,`cannot unpack non-iterable ${$B.class_name(obj)} object`)}\nvar t=_b_.list.$factory(obj),right_length=t.length,left_length"],
    ["brython.js", "`${left_length}, got ${right_length})`)\nthrow exc}\nif((! has_starred)", "`${has_starred ? nb_targets-1 :left_length}, got ${right_length})`)\nthrow exc}\nif((! has_starred)"],
    ["brython.js", "value=$B.$getitem($.$args,pos)}else{", "if(pos >=$.$args.length){$B.RAISE(_b_.IndexError,`Replacement index ${pos} out of range for positional args tuple`)}\nvalue=$B.$getitem($.$args,pos)}else{"],
    // Complex numbers are divided as CPython divides them.
    ["brython.js", "var _num=x.real.value*y.real.value+\nx.imag.value*y.imag.value,_div=y.real.value*y.real.value+\ny.imag.value*y.imag.value\nvar _num2=x.imag.value*y.real.value-\nx.real.value*y.imag.value\nreturn make_complex($B.fast_float(_num/_div),$B.fast_float(_num2/_div))}", "var a=x.real.value,b=x.imag.value,c=y.real.value,d=y.imag.value\nif(Math.abs(c)>=Math.abs(d)){var ratio=d/c,denom=c+d*ratio\nreturn make_complex($B.fast_float((a+b*ratio)/denom),$B.fast_float((b-a*ratio)/denom))}\nvar ratio=c/d,denom=c*ratio+d\nreturn make_complex($B.fast_float((a*ratio+b)/denom),$B.fast_float((b*ratio-a)/denom))}"],
    // A set that grows while it is walked.
    ["brython.js", "set_iterator.tp_iternext=function*(self){for(var item of self.it){if(self.so.$version !=self.version){$B.RAISE(_b_.RuntimeError,\"Set changed size during iteration\")}\nyield item}}", "set_iterator.tp_iternext=function*(self){var step=self.it.next()\nif(self.so.$used !==self.size){$B.RAISE(_b_.RuntimeError,\"Set changed size during iteration\")}\nif(! step.done){yield step.value}}"],
    ["brython.js", "$B.RAISE(_b_.ImportError,\"cannot import name '\"+name+\"'\")}}}}", "$B.RAISE(_b_.ImportError,\"cannot import name '\"+name+\"' from '\"+mod_name+\"'\")}}}}"],
    // There is no `btoa` inside a server.
    ["_binascii", "var res = btoa(s)", "var digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', res = ''\n        for (let at = 0; at < s.length; at += 3) {\n            const bits = s.charCodeAt(at) << 16 | (s.charCodeAt(at + 1) || 0) << 8 | (s.charCodeAt(at + 2) || 0)\n            res += digits[bits >> 18] + digits[bits >> 12 & 63] + (at + 1 < s.length ? digits[bits >> 6 & 63] : '=') + (at + 2 < s.length ? digits[bits & 63] : '=')\n        }"],
    // A queue without `index` and `insert`, that could not be made with `maxlen`.
    ["_collections", "class deque:\n", "from _deque import deque\nclass _linked_deque:\n"],
    ["_struct", "'p':{'size':1,'alignment':0,'pack':None,'unpack':None},", "'p':{'size':1,'alignment':0,'pack':None,'unpack':None},\n'?':{'size':1,'alignment':0,'pack':lambda number,size,endian:b'\\x01' if number else b'\\x00','unpack':lambda data,index,size,endian:data[index]!=0},"],
    ["annotationlib", "print('NotImplementedError for format')", "pass"],
    ["_strptime", "time._STRUCT_TM_ITEMS", "9"],
    ["brython.js", "_b_.set.tp_iter=function(self){return{\nob_type:set_iterator,so:self,it:set_iter(self),version:self.$version}}", "_b_.set.tp_iter=function(self){return{\nob_type:set_iterator,so:self,it:set_iter(self),version:self.$version,size:self.$used}}"],
    // Items of bytes are numbers already.
    ["binascii", "crc=crc_32_tab[(crc ^int(ord(c)))&0xff]^(crc >>8)", "crc=crc_32_tab[(crc ^c)&0xff]^(crc >>8)"],
    ["binascii", "crc=((crc <<8)&0xff00)^crctab_hqx[((crc >>8)&0xff)^ord(c)]", "crc=((crc <<8)&0xff00)^crctab_hqx[((crc >>8)&0xff)^c]"],
    // Small numbers stand in sets in their order, not in that of their texts.
    ["brython.js", "function*set_iter(so){var ordered_keys=Object.keys(so.$store).sort()", "function*set_iter(so){var ordered_keys=Object.keys(so.$store)"],
    // `self` is not there.
    ["_io_classes", "        self.$text_pos++", "        _self.$text_pos++"],
    // Built-in names that were added later were not found behind `import *`.
    ["brython.js", "if(builtins_scope.locals.has(name)){return _b_[name]}\nthrow $B.name_error(name)}", "if(Object.hasOwn(_b_,name)){return _b_[name]}\nthrow $B.name_error(name)}"],
    ["brython.js", "if(builtins_scope.locals.has(name)){return _b_[name]}\n$B.set_inum(inum)", "if(Object.hasOwn(_b_,name)){return _b_[name]}\n$B.set_inum(inum)"],
];

/** The text of `brython.js`, or of a module named like `collections`, with what is mended in it. */
export function patched(name, text) {
    let result = text;
    for (const [where, found, put] of PATCHES) {
        if (where !== name) {
            continue;
        }
        const count = result.split(found).length - 1;
        if (count !== 1) {
            throw new Error(`${name}: a text to mend is there ${count} times, not once:\n${found}`);
        }
        result = result.replace(found, () => put);
    }
    return result;
}

// Modules that are written anew, in crates/gears-v8/src/py/modules: NAME.py, NAME.js, or NAME.__init__.py for a package.
const OWN = new URL("../crates/gears-v8/src/py/modules/", import.meta.url);

/** Puts them into the standard library, as Brython keeps it: [kind, text, imports, whether it is a package] by name. */
export function own_modules(library) {
    for (const file of readdirSync(OWN)) {
        const [, name, package_mark, kind] = /^(.*?)(\.__init__)?(\.py|\.js)$/.exec(file);
        library[name] = [kind, readFileSync(new URL(file, OWN), "utf8"), [], package_mark !== undefined];
    }
}
