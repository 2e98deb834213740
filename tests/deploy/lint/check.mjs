// SPDX-License-Identifier: MIT
// All checks of what deploys. Started by ./run, which finds the tools: KUBECTL, SHELLCHECK and
// COMPOSE name them and are empty where there is none.
import { finish } from './harness.mjs';
import { checkFly } from './fly.mjs';
import { checkImages } from './images.mjs';
import { checkManifests } from './manifests.mjs';
import { checkBlueprint } from './render.mjs';
import { checkShell } from './shell.mjs';
import { checkWorkflows } from './workflows.mjs';

const { KUBECTL, SHELLCHECK, COMPOSE } = process.env;
await checkManifests(KUBECTL);
await checkWorkflows(SHELLCHECK);
await checkImages(COMPOSE);
await checkBlueprint();
await checkFly();
await checkShell(SHELLCHECK);
process.exit(finish());
