// The command line's entry: parses it and calls the command. The only code above it is daemon/main.cc.
#pragma once

namespace sluice::cli {

/// Returns the process's exit code (ExitCode in options.h).
int main(int argc, char** argv);

}  // namespace sluice::cli
