// Which table of kernels this machine can run.
#pragma once

#include <string>
#include <vector>

#include "field.h"

namespace nerf {

// Best first; the last is "portable". In bf16 the first has instructions for it if its name says so.
std::vector<std::string> runnable(bool bf16 = false);
// The best for an empty name. std::invalid_argument where it can not run here.
const Kernels& kernels(const std::string& name, bool bf16 = false);

}  // namespace nerf
