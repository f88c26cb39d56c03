// The configuration as one YAML text that may be shown: includes joined, values of environment variables and
// secrets hidden.
#pragma once

#include <string>

#include "control/tree.h"

namespace sluice::control {

/// Variables stay as they were written (${NAME}). A scalar below a row that is marked secret is shown only if
/// its key is not one that carries credentials (authorization, cookie, ... token, secret, password).
std::string redacted_yaml(const Node& root, const Tree& tree);

}  // namespace sluice::control
