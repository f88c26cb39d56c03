// Finds and compiles the configuration for a command, and shows what is wrong with it on standard error, in
// colour if that is a terminal.
#pragma once

#include <string>

#include "cli/options.h"
#include "control/compile.h"

namespace sluice::cli {

/// What --config says; else /etc/sluice/sluice.yaml if it exists, else config/sluice.yaml.
std::string configuration_path(const Options& options);

/// Without a snapshot after errors, which were printed; the command then ends with kConfigurationError.
control::CompileResult load_configuration(const Options& options);

/// Prints one diagnostic to standard error.
void print(const control::Diagnostic& diagnostic, control::Severity severity);

}  // namespace sluice::cli
