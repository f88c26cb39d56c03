/* The plugin of plugins/README.md. */
#include <stdlib.h>
#include <string.h>

#include "abi.h"

static const struct sluice_host* host;

static struct sluice_str text(const char* data, size_t size) {
  const struct sluice_str result = {data, size};
  return result;
}
#define TEXT(literal) text("" literal, sizeof(literal) - 1)

struct config {
  size_t size;
  char name[64];
};

static void* configure(struct sluice_setup* setup) {
  struct sluice_str name = TEXT("stranger");
  if (host == NULL) host = setup->host; /* once: a reload configures while workers read it */
  const struct sluice_node* node = setup->child(setup, setup->root, TEXT("name"));
  if (node != NULL && !setup->text(setup, node, &name)) return NULL; /* the host has told what is wrong, and where */
  struct config* config = calloc(1, sizeof(*config));
  if (name.size > sizeof(config->name)) {
    setup->error(setup, node, TEXT("a name of at most 64 bytes"));
    return config;
  }
  config->size = name.size;
  memcpy(config->name, name.data, name.size); /* what the host gave ends with this function */
  return config;
}

static sluice_verdict on_response(struct sluice_filter* filter) {
  const struct config* config = filter->worker->config;
  host->set_header(filter, SLUICE_RESPONSE, TEXT("x-hello"), text(config->name, config->size));
  return SLUICE_CONTINUE;
}

SLUICE_EXPORT const struct sluice_plugin sluice_plugin = {
    .struct_size = sizeof(struct sluice_plugin),
    .abi_version = SLUICE_ABI_VERSION,
    .name = "hello",
    .version = "1.0",
    .configure = configure,
    .discard = free,
    .on_response = on_response,
};
