// SPDX-License-Identifier: MIT
// All checks of what deploys. Started by ./run, which finds the tools: KUBECTL, SHELLCHECK, COMPOSE
// name them and are empty where there is none.
import { finish } from './harness.mjs';
import { checkManifests } from './manifests.mjs';

await checkManifests(process.env.KUBECTL);
process.exit(finish());
