#define PCRE2_CODE_UNIT_WIDTH 8
#include "snapshot/expression.h"

#include <pcre2.h>

#include <string>

#include "base/assert.h"

namespace sluice::snapshot {
namespace {

// A segment is short and a sane expression needs a step or two per byte, so this is generous; it is there for "(a+)+".
constexpr uint32_t kMatchLimit = 10'000;
constexpr uint32_t kHeapLimitKib = 64;
constexpr size_t kJitStackStart = 16 * 1024;
constexpr size_t kJitStackMax = 64 * 1024;

// What a thread needs to match. Made once per thread, so that a match allocates nothing.
class MatchMemory {
 public:
  MatchMemory()
      : data_(pcre2_match_data_create(1, nullptr)),
        context_(pcre2_match_context_create(nullptr)),
        jit_stack_(pcre2_jit_stack_create(kJitStackStart, kJitStackMax, nullptr)) {
    SL_ASSERT(data_ != nullptr && context_ != nullptr);
    pcre2_set_match_limit(context_, kMatchLimit);
    pcre2_set_heap_limit(context_, kHeapLimitKib);
    if (jit_stack_ != nullptr) pcre2_jit_stack_assign(context_, nullptr, jit_stack_);
  }
  ~MatchMemory() {
    pcre2_jit_stack_free(jit_stack_);
    pcre2_match_context_free(context_);
    pcre2_match_data_free(data_);
  }
  MatchMemory(const MatchMemory&) = delete;
  MatchMemory& operator=(const MatchMemory&) = delete;

  int match(const pcre2_code* code, std::string_view text) {
    return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, data_, context_);
  }

 private:
  pcre2_match_data* data_;
  pcre2_match_context* context_;
  pcre2_jit_stack* jit_stack_;  // null if this build of PCRE2 has no JIT
};

}  // namespace

void Expression::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

std::variant<Expression, PatternError> Expression::compile(std::string_view expression) {
  // Paths are bytes, not UTF-8; callers see one capture, the whole segment, whatever groups the expression has.
  constexpr uint32_t kOptions =
      PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY;
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(), kOptions, &error, &at, nullptr);
  if (code == nullptr) {
    PCRE2_UCHAR text[256] = {};
    pcre2_get_error_message(error, text, sizeof(text));
    return PatternError{"the expression is wrong: " + std::string(reinterpret_cast<const char*>(text)), at};
  }
  // Without JIT (a hardened kernel may forbid executable memory) pcre2_match() interprets, slower but the same.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return Expression(code);
}

Expression::Outcome Expression::match(std::string_view text) const {
  thread_local MatchMemory memory;
  const int result = memory.match(code_.get(), text);
  if (result >= 0) return Outcome::match;
  return result == PCRE2_ERROR_NOMATCH ? Outcome::no_match : Outcome::limit;
}

}  // namespace sluice::snapshot
