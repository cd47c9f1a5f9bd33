/** The user's wish for less motion. */
/** Return true if nothing should move. */
export declare function useReducedMotion(): boolean;
