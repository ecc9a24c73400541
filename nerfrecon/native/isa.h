// Which table of kernels this machine can run.
#pragma once

#include <string>
#include <vector>

#include "field.h"

namespace nerf {

std::vector<std::string> runnable();            // best first; the last is "portable"
const Kernels& kernels(const std::string& name); // std::invalid_argument where it can not run here

}  // namespace nerf
