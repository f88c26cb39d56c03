// Writes what is generated from the configuration's schema into the source tree that is named on the command
// line. Run by `cmake --build --preset debug --target docs`.
#include <cstdio>
#include <fstream>
#include <string>

#include "control/documentation.h"
#include "unit/cli/log_fields.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string root = argv[1];
  std::ofstream reference(root + "/docs/configuration.md");
  std::ofstream schema(root + "/config/sluice.schema.json");
  reference << sluice::control::configuration_markdown(sluice::cli::kLogFields) << std::flush;
  schema << sluice::control::json_schema() << std::flush;
  if (reference && schema) return 0;
  std::fprintf(stderr, "cannot write below %s\n", argv[1]);
  return 1;
}
