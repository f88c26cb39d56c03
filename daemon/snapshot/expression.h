// Expression: the regular expression of one path parameter, compiled by PCRE2 to machine code where its JIT is
// available. Immutable and shared by all workers. A match is anchored at both ends, costs a bounded number of steps and
// allocates nothing: each thread keeps one small block of match memory, made at its first match.
#pragma once

#include <memory>
#include <string_view>
#include <variant>

#include "snapshot/route_table.h"

struct pcre2_real_code_8;

namespace sluice::snapshot {

class Expression {
 public:
  enum class Outcome : uint8_t { match, no_match, limit };

  /// On failure PatternError::at is an offset into `expression`.
  static std::variant<Expression, PatternError> compile(std::string_view expression);

  /// Does all of `text` match? `limit` when it took too many steps or too much memory to say.
  [[nodiscard]] Outcome match(std::string_view text) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  explicit Expression(pcre2_real_code_8* code) : code_(code) {}
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace sluice::snapshot
