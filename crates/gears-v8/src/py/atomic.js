// `with atomic():` holds the server's lock for as long as its body runs. The lock is held while a function runs, so the
// body becomes one: what leaves it (`return`, `break`, `continue`) leaves the function, and says where to go on.
//
// A body that waits (`await`, `yield`) is left as it is: it cannot keep the lock.
(function ($B, native, raise) {
  "use strict";
  const { ast } = $B;
  const NAMES = ["atomic", "atomicCtx"];
  const BREAK = ($B.$breaks = Symbol("break"));
  const CONTINUE = ($B.$continues = Symbol("continue"));
  const FUNCTIONS = [ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef];
  const LOOPS = [ast.For, ast.AsyncFor, ast.While];
  const WAITS = [ast.Await, ast.Yield, ast.YieldFrom, ast.AsyncFor, ast.AsyncWith];
  const is_one_of = (node, kinds) => kinds.some((kind) => node instanceof kind);

  const is_atomic = (node) =>
    node.items.length === 1 && node.items[0].context_expr instanceof ast.Call &&
    NAMES.includes(node.items[0].context_expr.func.id ?? node.items[0].context_expr.func.attr);

  // Visits what belongs to the function at hand; says of each node whether it is in a loop of the body.
  const visit = (node, in_loop, see) => {
    if (Array.isArray(node)) return node.forEach((one) => visit(one, in_loop, see));
    if (node === null || typeof node !== "object" || !("lineno" in node || node.constructor.$name)) return undefined;
    if (is_one_of(node, FUNCTIONS)) return undefined;
    see(node, in_loop);
    const inside = in_loop || is_one_of(node, LOOPS);
    for (const field of node.constructor._fields ?? []) visit(node[field.replace(/[*?]$/, "")], inside, see);
    return undefined;
  };

  const break_to_js = ast.Break.prototype.to_js;
  ast.Break.prototype.to_js = function (scopes) {
    const js = break_to_js.call(this, scopes);
    return this.$leaves ? js.replace(/break$/, "return $B.$breaks") : js;
  };
  const continue_to_js = ast.Continue.prototype.to_js;
  ast.Continue.prototype.to_js = function (scopes) {
    const js = continue_to_js.call(this, scopes);
    return this.$leaves ? js.replace(/continue$/, "return $B.$continues") : js;
  };

  let number = 0;
  const with_to_js = ast.With.prototype.to_js;
  ast.With.prototype.to_js = function (scopes) {
    if (this.$is_inside || !is_atomic(this)) return with_to_js.call(this, scopes);
    let [waits, returns, breaks, continues] = [false, false, false, false];
    const leaving = [];
    visit(this.body, false, (node, in_loop) => {
      if (is_one_of(node, WAITS)) waits = true;
      if (node instanceof ast.With) node.$is_inside = true;
      if (node instanceof ast.Return) returns = true;
      if (in_loop) return;
      if (node instanceof ast.Break) {
        breaks = true;
        leaving.push(node);
      }
      if (node instanceof ast.Continue) {
        continues = true;
        leaving.push(node);
      }
    });
    if (waits) return with_to_js.call(this, scopes);
    for (const node of leaving) node.$leaves = true;
    const body = with_to_js.call(this, scopes);
    const left = `$left_${++number}`;
    let js = `var ${left} = $B.$locked(() => {\n${body}\n})\n`;
    if (breaks) js += `if (${left} === $B.$breaks) break\n`;
    if (continues) js += `if (${left} === $B.$continues) continue\n`;
    if (returns) js += `if (${left} !== undefined) return ${left}\n`;
    return js;
  };

  // --- when it runs ----------------------------------------------------------------------------------

  let is_inside = false;
  $B.$locked = (work) => {
    if (native.is_locked()) return work();
    let frames = $B.frame_obj;
    let has_begun = false;
    try {
      return native.atomic(() => {
        has_begun = true;
        $B.frame_obj = frames;
        const result = work();
        // It may have left its function.
        frames = $B.frame_obj;
        return result;
      });
    } catch (error) {
      if (has_begun) throw error;
      return raise(error);
    } finally {
      $B.frame_obj = frames;
    }
  };
  return {
    enter() {
      if (!native.is_locked()) raise(new Error("'atomic' needs a body without 'await' and 'yield': it keeps the server's lock"));
      if (is_inside) {
        // Code that was ended for its time leaves the mark behind, and would do so for good.
        is_inside = false;
        raise(new Error("'atomic' cannot be used inside of 'atomic'"));
      }
      is_inside = true;
    },
    leave() {
      is_inside = false;
    },
    is_inside: () => is_inside && native.is_locked(),
  };
})
