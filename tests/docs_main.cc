// Writes what is generated from tables (the configuration's schema, the command line) into the source tree that is named on the command
// line. Run by `cmake --build --preset debug --target docs`.
#include <cstdio>
#include <fstream>
#include <string>

#include "cli/man_page.h"
#include "control/documentation.h"
#include "unit/cli/log_fields.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string root = argv[1];
  std::ofstream reference(root + "/docs/configuration.md");
  std::ofstream schema(root + "/config/sluice.schema.json");
  std::ofstream manual(root + "/docs/sluice.8");
  manual << sluice::cli::man_page() << std::flush;
  reference << sluice::control::configuration_markdown(sluice::cli::kLogFields) << std::flush;
  schema << sluice::control::json_schema() << std::flush;
  if (reference && schema && manual) return 0;
  std::fprintf(stderr, "cannot write below %s\n", argv[1]);
  return 1;
}
