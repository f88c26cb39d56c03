// The manual page sluice(8), made from the rows of options.h as `--help` is. `cmake --build --preset debug --target docs`
// writes it to docs/sluice.8; a test compares.
#pragma once

#include <string>
#include <string_view>

namespace sluice::cli {

/// In roff, for the man macros.
std::string man_page();
/// `text` so that roff prints it as it is: hyphens that can be copied, quotes and backslashes that mean nothing.
std::string roff(std::string_view text);

}  // namespace sluice::cli
