// What `sluice --help` and `sluice COMMAND --help` print, made from the rows of options.h. Fits a screen.
#pragma once

#include <string>

#include "cli/options.h"

namespace sluice::cli {

std::string general_help();
std::string command_help(Command command);

}  // namespace sluice::cli
