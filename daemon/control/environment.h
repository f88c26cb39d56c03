// Environment variables in scalars: ${NAME} and ${NAME:-default}; "$${" is a literal "${". One pass: what a
// variable holds is text and is neither parsed as YAML nor searched for further variables.
#pragma once

#include <string>
#include <string_view>

namespace sluice::control {

struct Substitution {
  std::string text;
  bool changed = false;  // a variable was replaced, or "$${" un-escaped
  std::string error;     // empty, or a sentence: the variable is not set, the syntax is wrong
};

/// Reads the process's environment. As in a shell, a default also stands in for a variable that is set but
/// empty.
Substitution substitute_environment(std::string_view text);

}  // namespace sluice::control
