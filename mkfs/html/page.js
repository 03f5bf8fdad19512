// SPDX-License-Identifier: MIT
// page.js - shows everything.
'use strict';

showHead();
showDamage();
showTiles();
showSizes();
showKinds();
showTensors();
showDetail();
showMap();
showLayers();
showPlots();
showFiles();
showFoot();
