#!/usr/bin/env node
// The `caravan` command. TypeScript is loaded in this same process, so that signals meet the program itself.
'use strict';
require('tsx/cjs');
require('./caravan.ts');
