/** SOP as it is shipped (`dist/`). */
import * as library from '../../dist/index.mjs';
import { opener } from '../sop-peer.mjs';

export const open = opener(library);
